import { type ColourScale, colourOf } from "../colour/palette.ts";

/** Cells of a map: what is drawn, what a tooltip says. */
export interface Cells {
  readonly rows: number;
  readonly columns: number;
  /** Levels of detail; a texel of level n stands for 2^n columns. */
  readonly levels: number;
  /** Texels of a tile, along the columns. */
  readonly tileTexels: number;
  /** The picture of a tile, `[rows, tileTexels]` pixels, or `null` while it is under way: asking for it fetches it. */
  texture(level: number, index: number): CanvasImageSource | null;
  /** The same, where it is here already. */
  known(level: number, index: number): CanvasImageSource | null;
  /** A cell's value; `undefined` while it is under way. */
  value(row: number, column: number): number | undefined;
  /** Called when a tile has come. Returns what ends it. */
  onChange(listener: () => void): () => void;
}

/** Paint values `[rows, columns]` into a canvas of as many pixels. */
export function paint(
  values: ArrayLike<number>,
  rows: number,
  columns: number,
  colour: (value: number) => number,
): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, columns);
  canvas.height = Math.max(1, rows);
  const image = new ImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < rows * columns; i++) pixels[i] = colour(values[i]!);
  canvas.getContext("2d")!.putImageData(image, 0, 0);
  return canvas;
}

/** A map that is in memory as a whole: layers x experts, experts x experts. */
export function matrixCells(
  values: ArrayLike<number>,
  rows: number,
  columns: number,
  scale: ColourScale,
): Cells {
  let painted: HTMLCanvasElement | null = null;
  const texture = () => {
    painted ??= paint(values, rows, columns, (value) => colourOf(scale, value));
    return painted;
  };
  return {
    rows,
    columns,
    levels: 1,
    tileTexels: Math.max(1, columns),
    texture,
    known: texture,
    value: (row, column) => values[row * columns + column],
    onChange: () => () => {},
  };
}
