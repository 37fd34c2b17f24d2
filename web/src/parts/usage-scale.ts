import { USAGE_TOP } from "../../../src/views/colours.ts";
import { type ColourScale, colourOf, hexPixel, inkOn, VIRIDIS_RAMP } from "../colour/palette.ts";

/** Use of experts as multiples of their fair share. A dead expert is not the darkest of the rare: it has no colour. */
export const usageScale = (dark: boolean): ColourScale => ({
  ramp: VIRIDIS_RAMP,
  min: 0,
  max: USAGE_TOP,
  missing: hexPixel(dark ? "#1e2226" : "#f1f1ee"),
  zero: hexPixel(dark ? "#343a41" : "#d5d5cf"),
});

/** What stands in a cell of such a map: a rare expert is never taken for a dead one. */
export const usageText = (scale: ColourScale) => (_: unknown, times: number) => ({
  text: Number.isNaN(times)
    ? ""
    : times === 0
      ? "never"
      : times < 0.05
        ? "<0.1"
        : times.toFixed(times < 9.95 ? 1 : 0),
  ink: inkOn(colourOf(scale, times)),
});
