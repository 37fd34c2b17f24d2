import type { Rgb } from "../../colours.ts";
import type { ColourDepth } from "../terminal.ts";

/** The parts of a line that carry no amount: what a reader looks for first, and what may stay in the background. */
export const bold = (depth: ColourDepth, text: string) => style(depth, "1", "22", text);
export const dim = (depth: ColourDepth, text: string) => style(depth, "2", "22", text);

export const foreground = (depth: ColourDepth, colour: Rgb, text: string) =>
  style(depth, `38;${code(depth, colour)}`, "39", text);
export const background = (depth: ColourDepth, colour: Rgb, text: string) =>
  style(depth, `48;${code(depth, colour)}`, "49", text);

function style(depth: ColourDepth, on: string, off: string, text: string): string {
  return depth === "none" || text === "" ? text : `\x1b[${on}m${text}\x1b[${off}m`;
}

function code(depth: ColourDepth, colour: Rgb): string {
  return depth === "256" ? `5;${nearest256(colour)}` : `2;${colour.join(";")}`;
}

/** The levels of the 6 x 6 x 6 colour cube that begins at index 16; a ramp of 24 greys follows at 232. */
const CUBE = [0, 95, 135, 175, 215, 255];

/** Index of the nearest of the 240 fixed colours; the first 16 are the user's own and mean nothing. */
export function nearest256(colour: Rgb): number {
  const level = colour.map((value) => nearestIndex(CUBE, value));
  const cube = level.map((i) => CUBE[i]!) as unknown as Rgb;
  const greyStep = Math.min(23, Math.max(0, Math.round((mean(colour) - 8) / 10)));
  const grey = 8 + 10 * greyStep;
  return distance(colour, cube) <= distance(colour, [grey, grey, grey])
    ? 16 + 36 * level[0]! + 6 * level[1]! + level[2]!
    : 232 + greyStep;
}

const mean = (colour: Rgb) => (colour[0] + colour[1] + colour[2]) / 3;
const distance = (a: Rgb, b: Rgb) => a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0);
const nearestIndex = (levels: readonly number[], value: number) =>
  levels.reduce(
    (best, level, i) => (Math.abs(level - value) < Math.abs(levels[best]! - value) ? i : best),
    0,
  );
