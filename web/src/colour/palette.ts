import { diverging, viridis } from "../../../src/views/colours.ts";

/** A colour as a canvas's pixels have it: alpha, blue, green, red from the highest byte (little-endian RGBA). */
export type Pixel = number;

const pixel = (r: number, g: number, b: number): Pixel => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

/** `#rrggbb` as a pixel. */
export function hexPixel(hex: string): Pixel {
  const value = Number.parseInt(hex.slice(1), 16);
  return pixel(value >> 16, (value >> 8) & 255, value & 255);
}

export const pixelCss = (value: Pixel): string =>
  `rgb(${value & 255} ${(value >> 8) & 255} ${(value >> 16) & 255})`;

/** Steps of a ramp: finer than eyes tell apart. */
const STEPS = 256;

const ramp = (colour: (part: number) => readonly [number, number, number] | readonly number[]) =>
  Uint32Array.from({ length: STEPS }, (_, i) => {
    const [r, g, b] = colour(i / (STEPS - 1)) as [number, number, number];
    return pixel(r, g, b);
  });

/** For amounts. */
export const VIRIDIS_RAMP = ramp(viridis);
/** For differences: blue below 0, red above. */
export const DIVERGING_RAMP = ramp((part) => diverging(2 * part - 1));

/** From a value to its colour. */
export interface ColourScale {
  readonly ramp: Uint32Array;
  readonly min: number;
  readonly max: number;
  /** Of NaN: nothing was measured. */
  readonly missing: Pixel;
  /** Of exactly 0, where that is another thing than little (an expert that nothing chose). */
  readonly zero?: Pixel;
}

export function colourOf({ ramp: colours, min, max, missing, zero }: ColourScale, value: number): Pixel {
  if (Number.isNaN(value)) return missing;
  if (zero !== undefined && value === 0) return zero;
  const part = (value - min) / (max - min || 1);
  return colours[Math.max(0, Math.min(colours.length - 1, Math.round(part * (colours.length - 1))))]!;
}

/** Black or white, whichever can be read on the colour (WCAG relative luminance). */
export function inkOn(colour: Pixel): "#000" | "#fff" {
  const channel = (value: number) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  };
  const luminance =
    0.2126 * channel(colour & 255) +
    0.7152 * channel((colour >> 8) & 255) +
    0.0722 * channel((colour >> 16) & 255);
  // Where contrast with black and with white are the same.
  return luminance > 0.179 ? "#000" : "#fff";
}
