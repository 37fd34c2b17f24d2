import { largest } from "../../../core/extremes.ts";
import { safeToken } from "../../../core/safe-text.ts";
import { LABEL_COLOURS } from "../../colours.ts";
import { count } from "../../numbers.ts";
import type { Terminal } from "../terminal.ts";
import { bold, dim, foreground } from "./paint.ts";
import { clip, displayWidth, padLeft, padRight } from "./text.ts";

export interface StripToken {
  readonly position: number;
  readonly text: string;
  readonly generated: boolean;
  /** Chosen experts, best first. */
  readonly experts: ArrayLike<number>;
}

/** Columns a token's text may take; longer ones are cut. */
const MAX_TOKEN = 14;
/** Ranks shown under a token: with top-8 routing all eight would bury the text. */
const MAX_RANKS = 4;
const GUTTER = 7;

/**
 * Tokens with the experts that served each below them. The experts chosen most often have a colour, the same
 * through the strip; generated tokens are bold and begin after `▸`.
 *
 * @param total tokens there are, where `tokens` holds only the first of them.
 */
export function tokenStrip(
  tokens: readonly StripToken[],
  maxLines: number,
  terminal: Terminal,
  total = tokens.length,
): string[] {
  const { width, depth } = terminal;
  const ranks = Math.min(MAX_RANKS, tokens[0]?.experts.length ?? 0);
  const colour = expertColours(tokens, ranks);
  const lines: string[] = [];
  let next = 0;
  while (next < tokens.length && lines.length + 1 + ranks <= maxLines) {
    const row = takeRow(tokens, next, ranks, width - GUTTER);
    next += row.length;
    const text = row.map((cell) => {
      const padded = padLeft(cell.text, cell.width);
      return cell.token.generated ? bold(depth, padded) : padded;
    });
    lines.push(dim(depth, padLeft(`${row[0]!.token.position}`, GUTTER - 1)) + text.join(""));
    for (let rank = 0; rank < ranks; rank++) {
      const ids = row.map(({ token, width: cellWidth }) => {
        const id = token.experts[rank]!;
        const padded = padLeft(`${id}`, cellWidth);
        const own = colour.get(id);
        return own ? foreground(depth, own, padded) : dim(depth, padded);
      });
      lines.push(dim(depth, padLeft(RANK_NAMES[rank]!, GUTTER - 1)) + ids.join(""));
    }
  }
  if (next < total) lines.push(`${padRight("", GUTTER)}… ${count(total - next)} more tokens`);
  return lines;
}

const RANK_NAMES = ["1st", "2nd", "3rd", "4th"];

interface Cell {
  readonly token: StripToken;
  readonly text: string;
  readonly width: number;
}

/** As many tokens from `start` as fit in a line, at least one. */
function takeRow(tokens: readonly StripToken[], start: number, ranks: number, width: number): Cell[] {
  const row: Cell[] = [];
  let used = 0;
  for (let i = start; i < tokens.length; i++) {
    const token = tokens[i]!;
    const first = token.generated && !tokens[i - 1]?.generated;
    const text = (first ? "▸" : "") + clip(safeToken(token.text), MAX_TOKEN);
    const ids = Array.from({ length: ranks }, (_, rank) => `${token.experts[rank]}`.length);
    const cellWidth = 2 + Math.max(displayWidth(text), largest(ids));
    if (used + cellWidth > width && row.length > 0) break;
    row.push({ token, text, width: cellWidth });
    used += cellWidth;
  }
  return row;
}

/** A colour for each of the experts chosen most often, among the ranks shown. */
function expertColours(tokens: readonly StripToken[], ranks: number) {
  const chosen = new Map<number, number>();
  for (const { experts } of tokens)
    for (let rank = 0; rank < ranks; rank++)
      chosen.set(experts[rank]!, (chosen.get(experts[rank]!) ?? 0) + 1);
  const often = [...chosen].sort(([a, n], [b, m]) => m - n || a - b).slice(0, LABEL_COLOURS.length);
  return new Map(often.map(([expert], i) => [expert, LABEL_COLOURS[i]!]));
}
