import { OTHER_COLOUR, rankColours } from "../colour/categories.ts";
import { type ColourScale, colourOf, hexPixel, VIRIDIS_RAMP } from "../colour/palette.ts";

export type MeasureName = "entropy" | "margin" | "top_weight" | "top_expert";

export const MEASURES: readonly {
  readonly name: MeasureName;
  readonly title: string;
  readonly needs: string;
}[] = [
  { name: "entropy", title: "entropy", needs: "router_logits" },
  { name: "margin", title: "margin", needs: "router_logits" },
  { name: "top_weight", title: "top weight", needs: "expert_weights" },
  { name: "top_expert", title: "top expert", needs: "" },
];

/** In a tile of experts: none is known here. */
const NO_EXPERT = 0xffff;

/** How a measure is coloured. */
export type MeasureColours =
  | { readonly kind: "amount"; readonly scale: ColourScale; readonly unit: string; readonly open: boolean }
  | { readonly kind: "category"; readonly colours: readonly string[]; readonly shown: readonly number[] };

/**
 * Colours for a measure. Entropy and weights have natural ends; the scale of margins ends where 98 % of the overview's
 * cells do, and experts have colours by how often they come first in it.
 *
 * @param overview values of the coarsest tile.
 */
export function measureColours(
  name: MeasureName,
  experts: number,
  overview: ArrayLike<number>,
  dark: boolean,
): MeasureColours {
  if (name === "top_expert") {
    const counts = new Uint32Array(experts);
    for (let i = 0; i < overview.length; i++) if (overview[i]! < experts) counts[overview[i]!]!++;
    const colours = rankColours(counts);
    const shown = colours
      .map((colour, expert) => ({ colour, expert }))
      .filter(({ colour }) => colour !== OTHER_COLOUR)
      .sort((a, b) => counts[b.expert]! - counts[a.expert]!)
      .map(({ expert }) => expert);
    return { kind: "category", colours, shown };
  }
  const max = name === "entropy" ? Math.log(experts) : name === "top_weight" ? 1 : quantile(overview, 0.98);
  const scale: ColourScale = {
    ramp: VIRIDIS_RAMP,
    min: 0,
    max,
    missing: hexPixel(dark ? "#1e2226" : "#f1f1ee"),
  };
  const unit = name === "entropy" ? "nats" : name === "margin" ? "logits" : "";
  return { kind: "amount", scale, unit, open: name === "margin" };
}

export function pixelOf(colours: MeasureColours, dark: boolean): (value: number) => number {
  if (colours.kind === "amount") return (value) => colourOf(colours.scale, value);
  const pixels = Uint32Array.from(colours.colours, hexPixel);
  const none = hexPixel(dark ? "#1e2226" : "#f1f1ee");
  return (value) => (value === NO_EXPERT ? none : (pixels[value] ?? none));
}

/** A value in words. */
export function sayMeasure(name: MeasureName, value: number | undefined): string {
  if (value === undefined) return "loading";
  if (Number.isNaN(value) || (name === "top_expert" && value === NO_EXPERT)) return "not captured";
  if (name === "top_expert") return `expert ${value}`;
  const unit = name === "entropy" ? " nats" : name === "margin" ? " logits" : "";
  return `${value.toPrecision(3)}${unit}`;
}

function quantile(values: ArrayLike<number>, part: number): number {
  const finite = Array.from(values)
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  return finite[Math.floor(part * (finite.length - 1))] || 1;
}
