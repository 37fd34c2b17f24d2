import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { type ColourScale, pixelCss } from "../colour/palette.ts";
import { amount } from "./numbers.ts";

export interface RampLegendProps {
  readonly scale: ColourScale;
  readonly title: ComponentChildren;
  readonly unit: string;
  /** Values above `max` have its colour. */
  readonly open?: boolean;
  /** A value with a mark of its own on the ramp, e.g. 1: fair. */
  readonly mark?: { readonly value: number; readonly text: string };
  /** What the colour of exactly 0 stands for, where that has its own. */
  readonly zero?: string;
}

/** The colours of amounts, with units. */
export function RampLegend({ scale, title, unit, open = false, mark, zero }: RampLegendProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const { ramp } = scale;
    const image = new ImageData(ramp.length, 1);
    new Uint32Array(image.data.buffer).set(ramp);
    canvas.current!.getContext("2d")!.putImageData(image, 0, 0);
  }, [scale]);
  const part = mark ? (mark.value - scale.min) / (scale.max - scale.min) : 0;
  return (
    <div class="legend">
      <span class="legend-title">{title}</span>
      <span class="muted">{amount(scale.min)}</span>
      <span class="ramp">
        <canvas ref={canvas} width={scale.ramp.length} height={1} aria-hidden="true" />
        {mark && (
          <span class="ramp-mark" style={{ left: `${100 * part}%` }}>
            <span>{mark.text}</span>
          </span>
        )}
      </span>
      <span class="muted">
        {amount(scale.max)}
        {open ? "+" : ""} {unit}
      </span>
      {zero && scale.zero !== undefined && (
        <span class="legend-key">
          <Swatch colour={pixelCss(scale.zero)} /> {zero}
        </span>
      )}
    </div>
  );
}

export interface Category {
  readonly name: string;
  readonly colour: string;
}

/** The colours of labels or experts. */
export function CategoryLegend({
  title,
  categories,
  more = 0,
}: {
  readonly title: ComponentChildren;
  readonly categories: readonly Category[];
  readonly more?: number;
}) {
  return (
    <div class="legend">
      <span class="legend-title">{title}</span>
      {categories.map(({ name, colour }) => (
        <span class="legend-key" key={name}>
          <Swatch colour={colour} /> {name}
        </span>
      ))}
      {more > 0 && (
        <span class="legend-key">
          <Swatch colour="#8a8f96" /> {more} others
        </span>
      )}
    </div>
  );
}

const Swatch = ({ colour }: { readonly colour: string }) => (
  <span class="swatch" style={{ background: colour }} aria-hidden="true" />
);
