/** The colour maps of everything moescope draws: the same quantity has the same colour in terminal, report and explorer. */

export type Rgb = readonly [red: number, green: number, blue: number];

/**
 * Viridis (Smith and van der Walt, matplotlib, CC0), sampled evenly: even steps in amount look like even steps in
 * lightness, also to colour-blind eyes and in grey.
 */
// biome-ignore format: a table
const VIRIDIS: readonly Rgb[] = [
  "440154", "481567", "482677", "453781", "404788", "39568c", "33638d", "2d708e", "287d8e", "238a8d",
  "1f968b", "20a387", "29af7f", "3cbb75", "55c667", "73d055", "95d840", "b8de29", "dce319", "fde725",
].map(rgb);

/**
 * ColorBrewer's RdBu, blue first (Cynthia Brewer, Apache-2.0): red and blue are told apart by colour-blind eyes, and
 * the middle is no colour at all.
 */
// biome-ignore format: a table
const RED_BLUE: readonly Rgb[] = [
  "053061", "2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b", "67001f",
].map(rgb);

/** Okabe and Ito's colours for categories, told apart by colour-blind eyes; their black is left to the text. */
// biome-ignore format: a table
export const OKABE_ITO: readonly Rgb[] = [
  "e69f00", "56b4e9", "009e73", "d55e00", "cc79a7", "0072b2", "f0e442",
].map(rgb);

/** Those that stay readable as text on dark and on light grounds. */
export const LABEL_COLOURS = OKABE_ITO.slice(0, 5);

/** Usage at which the colours end, in fair shares. Twice and three times the fair share are common, much more is rare. */
export const USAGE_TOP = 4;

/** The colour of an amount from 0 to 1; values outside are held at the ends. */
export const viridis = (amount: number): Rgb => between(VIRIDIS, amount);

/** The colour of a difference from -1 (blue) over 0 (neutral) to 1 (red). */
export const diverging = (difference: number): Rgb => between(RED_BLUE, (difference + 1) / 2);

function between(colours: readonly Rgb[], amount: number): Rgb {
  const at = Math.min(1, Math.max(0, amount)) * (colours.length - 1);
  const from = colours[Math.floor(at)]!;
  const to = colours[Math.ceil(at)]!;
  const part = at - Math.floor(at);
  return from.map((value, i) => Math.round(value + (to[i]! - value) * part)) as unknown as Rgb;
}

function rgb(hex: string): Rgb {
  return [0, 2, 4].map((i) => Number.parseInt(hex.slice(i, i + 2), 16)) as unknown as Rgb;
}

/** As CSS and SVG write it: `#440154`. */
export const hex = (colour: Rgb): string =>
  `#${colour.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
