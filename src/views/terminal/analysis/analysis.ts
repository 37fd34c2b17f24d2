import { safeText } from "../../../core/safe-text.ts";
import { labelNotes } from "../../evidence.ts";
import type { CaptureAnalysis, LayerAnalysis } from "../../facts/analysis.ts";
import { alignColumns } from "../parts/columns.ts";
import { header } from "../parts/header.ts";
import { dim } from "../parts/paint.ts";
import { specializedExpertList } from "../parts/specialized-experts.ts";
import { clip, padRight } from "../parts/text.ts";
import { type UsageCounted, usageByLabel, usageMap } from "../parts/usage-map.ts";
import type { Terminal } from "../terminal.ts";
import { type CloseLayer, closeLayer } from "./close-layer.ts";
import { coactivationView, flowView } from "./coactivation.ts";
import { completenessView } from "./completeness.ts";
import { driftView } from "./drift.ts";
import { entropyLines } from "./entropy-lines.ts";
import { labelScoreView } from "./label-scores.ts";
import { layerTable, probeTable } from "./layer-table.ts";
import { localityView } from "./locality.ts";
import { otherMeasures } from "./other-measures.ts";
import { routerLossView } from "./router-losses.ts";
import { tokenClassMap, tokenPreferenceList } from "./token-preferences.ts";
import { underusedList } from "./underused.ts";

/** Specialized experts listed; `--json` has all. */
const MAX_SPECIALIZED = 8;

/** Everything an analysis found: the whole model first, then one layer closely. */
export function analysisView(analysis: CaptureAnalysis, folder: string, terminal: Terminal): string[] {
  const { layers } = analysis;
  const chosen = closeLayer(layers);
  const close = chosen?.layer;
  const usage = usageOf(analysis);
  const sections = [
    header(analysis.model, analysis.engine.kind, terminal),
    (analysis.edits ?? []).map((words) => clip(`edited: ${safeText(words)}`, terminal.width)),
    completenessView(analysis, terminal),
    ...(close
      ? [
          usageMap(usage, terminal),
          underusedList(analysis, terminal),
          layerTable(analysis, terminal),
          routerLossView(analysis, terminal),
          layers.length > 1 ? closeNote(chosen!, terminal) : [],
          usageByLabel(usage, close.layer, terminal),
          specializedExpertList(
            spread(analysis.specializedExperts),
            analysis.fairShare,
            close.specialization ? labelNotes(close.specialization) : [],
            terminal,
          ),
          labelScoreView(analysis, terminal),
          tokenClassMap(analysis, close, terminal),
          tokenPreferenceList(close, terminal),
          coactivationView(close, terminal),
          flowView(analysis, terminal),
          localityView(analysis, terminal),
          driftView(close, terminal),
          probeTable(analysis, close, terminal),
          entropyLines(analysis, terminal),
          otherMeasures(analysis, terminal),
        ]
      : []),
    nextSteps(layers, folder, terminal),
  ];
  return sections
    .filter((lines) => lines.length > 0)
    .flatMap((lines, i) => (i === 0 ? lines : ["", ...lines]));
}

/** The strongest of each label first: else the label with the most extreme experts takes every line. */
function spread(all: CaptureAnalysis["specializedExperts"]): CaptureAnalysis["specializedExperts"] {
  const seen = new Map<string, number>();
  const ranked = all.map((found) => {
    const rank = seen.get(found.label) ?? 0;
    seen.set(found.label, rank + 1);
    return { found, rank };
  });
  return ranked
    .sort((a, b) => a.rank - b.rank || b.found.difference - a.found.difference)
    .slice(0, MAX_SPECIALIZED)
    .map(({ found }) => found)
    .sort((a, b) => b.difference - a.difference);
}

/** The counts as the usage maps take them. */
const usageOf = ({ fairShare, layers }: CaptureAnalysis): UsageCounted => ({
  fairShare,
  layers: layers.map(({ layer, usage: { experts, byLabel } }) => ({
    layer,
    counts: experts.map(({ count }) => count),
    byLabel,
  })),
});

const closeNote = ({ layer, why }: CloseLayer, { depth }: Terminal) => [
  dim(depth, `Closely: layer ${layer.layer}, ${why}`),
];

function nextSteps(layers: readonly LayerAnalysis[], folder: string, { width, depth }: Terminal): string[] {
  const dir = safeText(folder);
  const [first] = layers;
  const steps = first
    ? alignColumns(
        [
          layers.length > 1
            ? [`moescope analyze ${dir} --layer ${first.layer}`, "another layer closely"]
            : [`moescope analyze ${dir}`, "all layers"],
          [`moescope report ${dir} -o report.html`, "a page to look at and share"],
          [`moescope analyze ${dir} --json`, "everything, for programs"],
        ],
        [padRight, padRight],
      )
    : ["a dense model has no experts; capture a mixture-of-experts model"];
  return steps.map((step, i) => dim(depth, clip(`${i === 0 ? "Next: " : "      "}${step}`.trimEnd(), width)));
}
