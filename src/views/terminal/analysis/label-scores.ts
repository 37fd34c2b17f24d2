import { safeText } from "../../../core/safe-text.ts";
import type { CaptureAnalysis } from "../../facts/analysis.ts";
import { percent, points, withHalfWidth } from "../../numbers.ts";
import { alignColumns } from "../parts/columns.ts";
import { bold, dim } from "../parts/paint.ts";
import { clip, padLeft, padRight } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";

/** Experts named of each label, and labels. */
const PER_LABEL = 3;
const MAX_LABELS = 4;

/** The experts that papers on steering and tuning would pick for each label. */
export function labelScoreView(
  { scoredExperts, labels, layers }: CaptureAnalysis,
  { depth, width }: Terminal,
): string[] {
  const names = labels.map(({ label }) => label).filter((label) => label !== null);
  const listed = names
    .slice(0, MAX_LABELS)
    .flatMap((label) => scoredExperts.filter((of) => of.label === label).slice(0, PER_LABEL));
  if (listed.length === 0) return [];
  const cells = listed.map((of) => [
    clip(safeText(of.label), 14),
    `L${of.layer} E${of.expert}`,
    withHalfWidth(of.riskDifference, of.riskHalfWidth, (value) => points(value).replace(" points", "")),
    withHalfWidth(of.npmi, of.npmiHalfWidth, (value) => `${value > 0 ? "+" : ""}${value.toFixed(2)}`),
    percent(of.stability),
    percent(of.esftToken),
  ]);
  const head = ["", "", "risk difference", "nPMI", "stable", "ESFT token"];
  const top = layers.find(({ labelScores }) => labelScores)!.labelScores!.stabilityTop;
  return [
    bold(depth, "Scores of the literature: experts of greatest risk difference"),
    ...alignColumns([head, ...cells], [padRight, padRight, padRight, padRight, padLeft, padLeft]).map(
      (line, i) => {
        const text = clip(`  ${line}`.trimEnd(), width);
        return i === 0 ? dim(depth, text) : text;
      },
    ),
    dim(depth, "  points more than all other labels (SteerMoE); 95 %, a text as one observation"),
    dim(depth, `  stable: resamples of the texts with it among the ${top} in front (SAFEx)`),
  ];
}
