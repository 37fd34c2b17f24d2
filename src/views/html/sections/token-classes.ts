import { safeText } from "../../../core/safe-text.ts";
import { USAGE_TOP, viridis } from "../../colours.ts";
import { ALPHA, BEYOND_CHANCE, tooFewToFlip } from "../../evidence.ts";
import type { CaptureAnalysis, LayerAnalysis } from "../../facts/analysis.ts";
import { information, plural, qOf } from "../../numbers.ts";
import { heatMap } from "../parts/heat-map.ts";
import { type Html, html } from "../parts/html.ts";
import { spread } from "../parts/spread.ts";
import { usageLegend } from "./usage.ts";

/** Maps of layers; with 128 experts and 12 classes one takes 6 KB. */
const MAX_MAPS = 6;
/** The most frequent classes, rows of a map. */
const MAX_CLASSES = 12;
/** Which experts serve which kind of token: words, numbers, punctuation. */
export function tokenClasses(analysis: CaptureAnalysis): Html {
  const layers = analysis.layers.filter((layer) => layer.tokenClasses);
  if (layers.length === 0) return html``;
  const shown = spread(layers, MAX_MAPS);
  const most = shown[0]!.tokenClasses!.groups.length;
  const few = tooFewToFlip(shown[0]!.tokenClasses!.leastQ);
  return html`<h2 id="classes">Kinds of token</h2>
<p>Where each class of token goes, by what its text looks like, in ${shown.length === layers.length ? "every layer" : `${plural(shown.length, "layer")} from the first to the last`}. A dot marks experts that serve the class more than the other tokens of the same texts, ${BEYOND_CHANCE}, from ${analysis.settings.flips} random flips of the differences within each text.${few && html` <strong>${few}.</strong>`}</p>
${usageLegend()}
<div class="maps">${shown.map((layer) => classMap(analysis, layer))}</div>
${most > MAX_CLASSES && html`<p class="soft">The ${MAX_CLASSES} most frequent of ${most} classes.</p>`}`;
}

function classMap({ experts, fairShare }: CaptureAnalysis, { layer, tokenClasses }: LayerAnalysis): Html {
  const { groups, rows, counts, shares, mutualInformation, chanceInformation, qValue } = tokenClasses!;
  const shown = groups
    .map((_, group) => group)
    .sort((a, b) => rows[b]! - rows[a]!)
    .slice(0, MAX_CLASSES);
  const share = (row: number, expert: number) => counts[shown[row]!]![expert]! / rows[shown[row]!]!;
  return html`<div><h3>Layer ${layer}</h3>${heatMap({
    label: `Usage of each expert of layer ${layer} by class of token`,
    rows: shown.map((group) => safeText(groups[group]!)),
    columns: Array.from({ length: experts }, (_, expert) => `${expert}`),
    axis: "expert",
    value: share,
    position: (value) => value / fairShare / USAGE_TOP,
    palette: viridis,
    unit: "share",
    fairShare,
    rowHeight: 18,
    dotted: (row, expert) => shares.qValues[shown[row]!]![expert]! <= ALPHA,
  })}<p class="soft">Tells ${information(Math.max(0, mutualInformation - chanceInformation))} bits of the class, ${qOf(qValue).replaceAll(" ", "\u00a0")}.</p></div>`;
}
