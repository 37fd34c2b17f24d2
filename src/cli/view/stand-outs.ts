import type { StandOut } from "../../analysis/stand-outs.ts";
import type { Terminal } from "../terminal.ts";
import { percent, probability, times } from "./numbers.ts";
import { bold } from "./paint.ts";
import { clip, displayWidth, padLeft, padRight, safeText } from "./text.ts";

/** Experts that serve one label far more than their fair share, one a line; `found` in the order to show. */
export function standOutList(
  found: readonly StandOut[],
  fairShare: number,
  { width, depth }: Terminal,
): string[] {
  if (found.length === 0) return [];
  const column = (text: (found: StandOut) => string, pad: (text: string, width: number) => string) => {
    const texts = found.map(text);
    const widest = Math.max(...texts.map(displayWidth));
    return texts.map((each) => pad(each, widest));
  };
  const columns = [
    column(({ layer, expert }) => `L${layer} E${expert}`, padRight),
    column(({ label }) => clip(safeText(label), 14), padRight),
    column(({ share }) => `${Math.round(100 * share)} % of its tokens`, padLeft),
    column(({ timesFair }) => `${times(timesFair)} fair`, padLeft),
    column(({ pValue }) => probability(pValue), padRight),
  ];
  const title = `Experts that stand out (fair share ${percent(fairShare)})`;
  return [
    bold(depth, title),
    ...found.map((_, i) => clip(`  ${columns.map((texts) => texts[i]).join("   ")}`, width)),
  ];
}
