import type { Rgb } from "../../colours.ts";
import { type Html, html, trusted } from "./html.ts";
import { pngDataUrl } from "./png.ts";

/** Amounts in rows and columns as an image with axes, and with the values for the script's readout. */
export interface HeatMap {
  /** What it shows, for those who do not see it. */
  readonly label: string;
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  /** What the columns are, under the map: `expert`. */
  readonly axis: string;
  /** Before a column's name in the readout where that is not {@link axis}: `with expert`. */
  readonly columnWord?: string;
  /** `null`: nothing there. */
  readonly value: (row: number, column: number) => number | null;
  /** From 0 to 1 along {@link palette}. */
  readonly position: (value: number) => number;
  readonly palette: (position: number) => Rgb;
  /** How the script words a value; see `script.ts`. */
  readonly unit: "share" | "lift" | "divergence";
  /** Divides a share for "times fair". */
  readonly fairShare?: number;
  /** Cells with a cross: dead experts. */
  readonly crossed?: (row: number, column: number) => boolean;
  /** Cells with a dot: what is significant. */
  readonly dotted?: (row: number, column: number) => boolean;
  /** Pixels a row may take at most; for maps that stand beside others. */
  readonly rowHeight?: number;
}

const PALETTE_STEPS = 255;
/** All rows together take about this many pixels, each from 5 to its maximum. */
const HEIGHT = 420;
const MIN_ROW = 5;
const LABEL_HEIGHT = 14;
const MAX_COLUMN_LABELS = 16;
/** Beside one another, maps have half the width or less. */
const MAX_SMALL_COLUMN_LABELS = 12;
/** Marks are drawn where a cell is large enough to show one. */
const MAX_MARKED_COLUMNS = 64;
/** Values as 16-bit numbers in multiples of this; see `script.ts`. */
const VALUE_STEP = { share: 1 / 65534, lift: 1 / 1000, divergence: 1 / 65534 } as const;
/** Stands for no value. */
const NO_VALUE = 65535;

export function heatMap(map: HeatMap): Html {
  const { rows, columns } = map;
  const height = Math.max(MIN_ROW, Math.min(map.rowHeight ?? 24, Math.floor(HEIGHT / rows.length)));
  const pixels = new Uint8Array(rows.length * columns.length);
  const values = new Uint16Array(pixels.length);
  for (let row = 0, i = 0; row < rows.length; row++)
    for (let column = 0; column < columns.length; column++, i++) {
      const value = map.value(row, column);
      const position = value === null ? 0 : Math.min(1, Math.max(0, map.position(value)));
      const blank = value === null || map.crossed?.(row, column);
      pixels[i] = blank ? 0 : 1 + Math.round(position * (PALETTE_STEPS - 1));
      values[i] =
        value === null ? NO_VALUE : Math.min(NO_VALUE - 1, Math.round(value / VALUE_STEP[map.unit]));
    }
  const palette = Array.from({ length: PALETTE_STEPS }, (_, i) => map.palette(i / (PALETTE_STEPS - 1)));
  const image = pngDataUrl(pixels, columns.length, rows.length, palette);
  const rowStep = Math.ceil(LABEL_HEIGHT / height);
  const columnStep = stepFor(columns.length, map.rowHeight ? MAX_SMALL_COLUMN_LABELS : MAX_COLUMN_LABELS);
  return html`<div class="map" tabindex="0" role="group" aria-label="${map.label}. Arrow keys read its cells."
 data-rows="${JSON.stringify(rows)}" data-columns="${JSON.stringify(columns)}" data-word="${map.columnWord ?? map.axis}"
 data-unit="${map.unit}" data-fair="${map.fairShare ?? 1}" data-values="${base64(values)}"
 style="--rows:${rows.length};--columns:${columns.length};--row:${height}px">
<div class="y" aria-hidden="true">${rows.map((name, i) => html`<span>${i % rowStep === 0 ? name : ""}</span>`)}</div>
<div class="cells"><img src="${image}" alt="">${marks(map)}</div>
<div class="axis" aria-hidden="true">${map.axis}</div><div class="x" aria-hidden="true">${columns.map(
    (name, i) =>
      i % columnStep === 0
        ? html`<span style="left:${(((i + 0.5) / columns.length) * 100).toFixed(2)}%">${name}</span>`
        : null,
  )}</div>
<output class="readout"></output></div>`;
}

function stepFor(columns: number, labels: number): number {
  let step = 1;
  while (columns / step > labels) step *= 2;
  return step;
}

/** Crosses and dots, as few paths; strokes keep their width where the image is stretched. */
function marks({ rows, columns, crossed, dotted }: HeatMap): Html {
  if (columns.length > MAX_MARKED_COLUMNS) return grid(rows.length, columns.length, "");
  let crosses = "";
  let dots = "";
  for (let row = 0; row < rows.length; row++)
    for (let column = 0; column < columns.length; column++) {
      if (crossed?.(row, column)) crosses += `M${column}.3 ${row}.3l.4 .4m0-.4l-.4 .4`;
      if (dotted?.(row, column)) dots += `M${column}.5 ${row}.5h0`;
    }
  const paths =
    (crosses && `<path class="cross" d="${crosses}"/>`) +
    (dots && `<path class="dot-edge" d="${dots}"/><path class="dot" d="${dots}"/>`);
  return grid(rows.length, columns.length, paths);
}

/** The overlay; its frame follows the cell that is read. */
const grid = (rows: number, columns: number, paths: string) =>
  trusted(
    `<svg viewBox="0 0 ${columns} ${rows}" preserveAspectRatio="none" aria-hidden="true">${paths}` +
      `<rect class="cursor" width="1" height="1" visibility="hidden"/></svg>`,
  );

const base64 = (values: Uint16Array) =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64");

/** A legend with what its ends and its middle mean. */
export function legend(
  palette: (position: number) => Rgb,
  ticks: readonly (readonly [at: number, text: string])[],
  title: string,
): Html {
  const stops = Array.from({ length: 12 }, (_, i) => `rgb(${palette(i / 11).join(" ")})`).join(",");
  return html`<figure class="legend"><figcaption>${title}</figcaption><div>
<div class="ramp" style="background:linear-gradient(90deg,${stops})"></div>
${ticks.map(([at, text]) => html`<span style="left:${(at * 100).toFixed(1)}%">${text}</span>`)}</div></figure>`;
}
