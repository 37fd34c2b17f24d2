import type { SpecializedExpert } from "../../../analysis/measures/specialized-experts.ts";
import { safeText } from "../../../core/safe-text.ts";
import { percent, probability, times } from "../../numbers.ts";
import type { Terminal } from "../terminal.ts";
import { alignColumns } from "./columns.ts";
import { bold } from "./paint.ts";
import { clip, padLeft, padRight } from "./text.ts";

/** Experts that serve one label far more than their fair share, one a line; `found` in the order to show. */
export function specializedExpertList(
  found: readonly SpecializedExpert[],
  fairShare: number,
  { width, depth }: Terminal,
): string[] {
  if (found.length === 0) return [];
  const lines = alignColumns(
    found.map(({ layer, expert, label, share, timesFair, pValue }) => [
      `L${layer} E${expert}`,
      clip(safeText(label), 14),
      `${Math.round(100 * share)} % of its tokens`,
      `${times(timesFair)} fair`,
      probability(pValue),
    ]),
    [padRight, padRight, padLeft, padLeft, padRight],
  );
  const title = `Specialized experts (fair share ${percent(fairShare)})`;
  return [bold(depth, title), ...lines.map((line) => clip(`  ${line}`, width))];
}
