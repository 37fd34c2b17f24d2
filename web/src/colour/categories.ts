import { hex, OKABE_ITO } from "../../../src/views/colours.ts";

/** For labels and experts: the same in terminal and report. */
const CATEGORY_COLOURS: readonly string[] = OKABE_ITO.map(hex);

/** Beyond seven, categories are told apart by their names alone. */
export const OTHER_COLOUR = "#8a8f96";

export const categoryColour = (index: number): string => CATEGORY_COLOURS[index] ?? OTHER_COLOUR;

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
