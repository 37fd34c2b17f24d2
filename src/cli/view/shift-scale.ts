import { diverging } from "./colours.ts";
import type { Scale } from "./heat-table.ts";
import { points } from "./numbers.ts";
import { background } from "./paint.ts";

/** A cell below -60 %, -20 %, up to 20 %, 60 % of the largest shift, and above. */
const SHADES = [..."«‹ ›»"];
const STEPS = 17;

/** Differences of shares from `-most` to `most`, the same colour for as much less as for as much more. */
export function shiftScale(most: number): Scale {
  return {
    shade: (shift) => SHADES[Math.min(4, Math.floor(((shift / most + 1) / 2) * 5))]!,
    colour: (shift) => diverging(shift / most),
    legend(depth) {
      const [less, more] = [points(-most), points(most)];
      if (depth === "none") return `« ‹ less in B, to ${less}   › » more in B, to ${more}`;
      const ramp = Array.from({ length: STEPS }, (_, i) =>
        background(depth, diverging((2 * i) / (STEPS - 1) - 1), " "),
      );
      return `less in B ${less} ${ramp.join("")} ${more} more in B`;
    },
  };
}
