import type { SpecializedExpert } from "../../../analysis/measures/specialized-experts.ts";
import { safeText } from "../../../core/safe-text.ts";
import { percent, points, qOf, times } from "../../numbers.ts";
import type { Terminal } from "../terminal.ts";
import { alignColumns } from "./columns.ts";
import { bold, dim } from "./paint.ts";
import { clip, padLeft, padRight, wrap } from "./text.ts";

/**
 * Experts that serve one label more than the others, one a line; `found` in the order to show.
 *
 * @param notes what is to be known of the q-values.
 */
export function specializedExpertList(
  found: readonly SpecializedExpert[],
  fairShare: number,
  notes: readonly (string | null)[],
  { width, depth }: Terminal,
): string[] {
  const said = notes
    .flatMap((note) => (note === null ? [] : wrap(note, width - 2)))
    .map((line) => dim(depth, `  ${line}`));
  if (found.length === 0)
    return said.length === 0 ? [] : [bold(depth, "Specialized experts"), "  none is beyond chance", ...said];
  const lines = alignColumns(
    found.map(({ layer, expert, label, share, timesFair, difference, halfWidth, qValue }) => [
      `L${layer} E${expert}`,
      clip(safeText(label), 14),
      `${Math.round(100 * share)} % of tokens`,
      `${times(timesFair)} fair`,
      `${inPoints(difference)}${halfWidth === null ? "" : ` ± ${inPoints(halfWidth).slice(1)}`}`,
      qOf(qValue),
    ]),
    [padRight, padRight, padLeft, padLeft, padRight, padRight],
  );
  const title = `Specialized experts (fair share ${percent(fairShare)}; points more than the other labels, 95 %)`;
  return [bold(depth, title), ...lines.map((line) => clip(`  ${line}`, width)), ...said];
}

/** The heading says what they are. */
const inPoints = (value: number) => points(value).replace(" points", "");
