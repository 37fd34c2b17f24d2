import { USAGE_TOP } from "../../../src/view/colours.ts";
import { type ColourScale, hexPixel, VIRIDIS_RAMP } from "../colour/palette.ts";

/** Use of experts as multiples of their fair share. A dead expert is not the darkest of the rare: it has no colour. */
export const usageScale = (dark: boolean): ColourScale => ({
  ramp: VIRIDIS_RAMP,
  min: 0,
  max: USAGE_TOP,
  missing: hexPixel(dark ? "#1e2226" : "#f1f1ee"),
  zero: hexPixel(dark ? "#343a41" : "#d5d5cf"),
});
