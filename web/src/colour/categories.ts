import { hexPixel, type Pixel } from "./palette.ts";

/**
 * Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), in the order that keeps the first ones farthest apart.
 * Their eighth is black, which is the text's; here it is a grey-violet that both themes show.
 */
export const CATEGORY_COLOURS = [
  "#e69f00",
  "#56b4e9",
  "#009e73",
  "#cc79a7",
  "#d55e00",
  "#0072b2",
  "#f0e442",
  "#8d7fb8",
] as const;

/** Beyond eight, categories are told apart by their names alone. */
export const OTHER_COLOUR = "#8a8f96";

export const categoryColour = (index: number): string => CATEGORY_COLOURS[index] ?? OTHER_COLOUR;

export const categoryPixel = (index: number): Pixel => hexPixel(categoryColour(index));

/**
 * A colour for each of the values met most often, the rest grey; ties go to the lower value, so that the same data
 * have the same colours everywhere.
 */
export function rankColours(counts: ArrayLike<number>): string[] {
  const order = Array.from(counts, (count, value) => ({ count, value }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count || a.value - b.value);
  const colours = Array.from(counts, () => OTHER_COLOUR as string);
  for (const [rank, { value }] of order.slice(0, CATEGORY_COLOURS.length).entries())
    colours[value] = categoryColour(rank);
  return colours;
}
