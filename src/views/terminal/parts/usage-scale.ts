import { USAGE_TOP, viridis } from "../../colours.ts";
import type { Scale } from "./heat-table.ts";
import { background, dim } from "./paint.ts";

/** A cell for use below ½, ½-1½ (about fair), 1½-2½, 2½-4 and from 4 times the fair share. */
const SHADES = [..."·░▒▓█"];
const STEPS = 16;

/** Use of experts as multiples of their fair share; 0: never. */
export const USAGE_SCALE: Scale = {
  shade: (usage) =>
    usage === 0
      ? " "
      : SHADES[usage < 0.5 ? 0 : usage < 1.5 ? 1 : usage < 2.5 ? 2 : usage < USAGE_TOP ? 3 : 4]!,
  // A dead expert is not the same as a rare one.
  colour: (usage) => (usage === 0 ? null : viridis(usage / USAGE_TOP)),
  legend(depth) {
    if (depth === "none") return "· <½  ░ 1  ▒ 2  ▓ 3  █ 4+ × fair share, blank: never";
    const ramp = Array.from({ length: STEPS }, (_, i) => background(depth, viridis(i / (STEPS - 1)), " "));
    return `0 ${ramp.join("")} ${USAGE_TOP}+ × fair share  ${dim(depth, "·")} never`;
  },
};
