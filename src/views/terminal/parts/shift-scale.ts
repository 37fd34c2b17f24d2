import { diverging } from "../../colours.ts";
import { points } from "../../numbers.ts";
import type { Scale } from "./heat-table.ts";
import { background, dim } from "./paint.ts";

/** Shifts below this part of the largest are left blank: the map's pale middle would shout on a dark terminal. */
const BLANK = 0.2;
/** Less by 60 % of the largest shift or more, less, blank, more, more by 60 %. */
const SHADES = [..."«‹ ›»"];
const STEPS = 17;

/** Differences of shares from `-most` to `most`, the same colour for as much less as for as much more. */
export function shiftScale(most: number): Scale {
  const colour = (shift: number) => (Math.abs(shift / most) < BLANK ? null : diverging(shift / most));
  return {
    colour,
    shade: (shift) => SHADES[Math.min(4, Math.floor(((shift / most + 1) / 2) * 5))]!,
    legend(depth) {
      const [less, more] = [points(-most), points(most)];
      if (depth === "none") return `« ‹ less in B, to ${less}   › » more in B, to ${more}`;
      const ramp = Array.from({ length: STEPS }, (_, i) => {
        const at = colour(most * ((2 * i) / (STEPS - 1) - 1));
        return at ? background(depth, at, " ") : dim(depth, "·");
      });
      return `less in B ${less} ${ramp.join("")} ${more} more in B`;
    },
  };
}
