import type { MeasureName } from "../../../analysis/measures/registry.ts";
import { safeText } from "../../../core/safe-text.ts";
import type { CaptureAnalysis } from "../../facts/analysis.ts";
import { otherResults } from "../../facts/other-results.ts";
import { alignColumns } from "../parts/columns.ts";
import { bold, dim } from "../parts/paint.ts";
import { clip, padLeft, padRight } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";

/** Measures that have a section of their own above. */
const SHOWN: ReadonlySet<MeasureName> = new Set([
  "balance",
  "coactivation",
  "entropy",
  "flows",
  "hiddenStates",
  "labelScores",
  "locality",
  "margin",
  "modelLosses",
  "nextExperts",
  "paths",
  "phases",
  "positions",
  "routerLosses",
  "scoredExperts",
  "specialization",
  "specializedExperts",
  "texts",
  "tokenClasses",
  "tokenPreferences",
  "usage",
]);
/** Layers shown; `--json` has all. */
const MAX_ROWS = 24;

/** Measures without a section of their own: their words and figures. */
export function otherMeasures(analysis: CaptureAnalysis, { width, depth }: Terminal): string[] {
  return otherResults(analysis, SHOWN).flatMap(({ title, text, by, columns, rows, more }, i) => {
    const cells = [
      ["", ...columns],
      ...rows
        .slice(0, MAX_ROWS)
        .map(({ name, figures }) => [
          by === null ? "" : `L${name}`,
          ...figures.map((figure) => (figure === null ? "-" : safeText(figure))),
        ]),
    ];
    const lines = columns.length === 0 ? [] : alignColumns(cells, [padRight, ...columns.map(() => padLeft)]);
    const rest = more || rows.length > MAX_ROWS ? ["  --json has all of it"] : [];
    return [
      ...(i > 0 ? [""] : []),
      bold(depth, title),
      dim(depth, clip(`  ${text}`, width)),
      ...lines.map((line) => clip(`  ${line}`.trimEnd(), width)),
      ...rest.map((line) => dim(depth, line)),
    ];
  });
}
