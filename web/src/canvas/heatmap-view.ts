import { token } from "../theme.ts";
import type { Cells } from "./cells.ts";
import { clampSpan, levelFor, panSpan, revealCell, type Span, tickStep, zoomSpan } from "./viewport.ts";

export interface Cell {
  readonly row: number;
  readonly column: number;
}

interface Axis {
  /** What the axis counts, e.g. `layer`. */
  readonly name: string;
  readonly label: (index: number) => string;
  /** Room the longest label needs, in pixels, where the default is too little. */
  readonly labelWidth?: number;
}

/** Runs of columns that belong together, such as the tokens of a sample: a bar above the map. */
interface ColumnGroup {
  readonly from: number;
  readonly to: number;
  readonly colour: string;
  readonly label: string;
}

export interface Picture {
  readonly cells: Cells;
  readonly rows: Axis;
  readonly columns: Axis;
  readonly zoom: "none" | "columns" | "both";
  readonly groups?: readonly ColumnGroup[];
  /** Written into cells that have the room, in `ink`. */
  readonly cellText?:
    | ((cell: Cell, value: number) => { readonly text: string; readonly ink: string })
    | undefined;
}

/** Marks on the map. */
export interface Marks {
  /** What the pointer is on, here or in a linked view: a cell, a row or a column. */
  readonly hovered: { readonly row?: number | undefined; readonly column?: number | undefined } | null;
  /** What was chosen. */
  readonly chosen: { readonly row?: number | undefined; readonly column?: number | undefined } | null;
}

const GUTTER = 36;
const AXIS = 24;
const GROUPS = 6;
/** Cells are drawn apart when they have the room. */
const GAP_FROM = 7;
const FONT = "11px Inter, system-ui, sans-serif";

/** Draws a map and answers where things are on it. Holds what is seen of it; knows nothing of pages. */
export class HeatmapView {
  readonly canvas: HTMLCanvasElement;
  picture: Picture;
  marks: Marks = { hovered: null, chosen: null };
  across: Span;
  down: Span;
  #frame = 0;
  #width = 0;
  #height = 0;
  readonly #onSpan: () => void;

  constructor(canvas: HTMLCanvasElement, picture: Picture, onSpan: () => void = () => {}) {
    this.canvas = canvas;
    this.picture = picture;
    this.across = { start: 0, length: picture.cells.columns };
    this.down = { start: 0, length: picture.cells.rows };
    this.#onSpan = onSpan;
  }

  /** Where the cells are, in CSS pixels of the canvas. */
  get plot() {
    const left = this.picture.rows.labelWidth ?? GUTTER;
    const top = this.picture.groups ? GROUPS + 4 : 0;
    return {
      left,
      top,
      width: Math.max(1, this.#width - left),
      height: Math.max(1, this.#height - top - AXIS),
    };
  }

  resize(width: number, height: number): void {
    const ratio = devicePixelRatio || 1;
    this.#width = width;
    this.#height = height;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    // At once: a canvas that was sized is empty.
    this.draw();
  }

  setPicture(picture: Picture): void {
    const { rows, columns } = this.picture.cells;
    this.picture = picture;
    if (picture.cells.columns !== columns) this.across = { start: 0, length: picture.cells.columns };
    if (picture.cells.rows !== rows) this.down = { start: 0, length: picture.cells.rows };
    this.redraw();
  }

  setSpan(across: Span, down = this.down): void {
    this.follow(across, down);
    this.#onSpan();
  }

  /** The same, told by another map: it is not told back, or two maps would correct each other for ever. */
  follow(across: Span, down = this.down): void {
    const { columns, rows } = this.picture.cells;
    this.across = clampSpan(across, columns);
    this.down = clampSpan(down, rows);
    this.redraw();
  }

  zoom(factor: number, partX = 0.5, partY = 0.5): void {
    const { cells, zoom } = this.picture;
    if (zoom === "none") return;
    this.setSpan(
      zoomSpan(this.across, cells.columns, factor, partX),
      zoom === "both" ? zoomSpan(this.down, cells.rows, factor, partY) : this.down,
    );
  }

  /** Pan by parts of what is seen. */
  pan(partX: number, partY = 0): void {
    const { cells } = this.picture;
    this.setSpan(
      panSpan(this.across, cells.columns, partX * this.across.length),
      panSpan(this.down, cells.rows, partY * this.down.length),
    );
  }

  reset(): void {
    this.setSpan(
      { start: 0, length: this.picture.cells.columns },
      { start: 0, length: this.picture.cells.rows },
    );
  }

  reveal({ row, column }: Cell): void {
    const { columns, rows } = this.picture.cells;
    const across = revealCell(this.across, columns, column);
    const down = revealCell(this.down, rows, row);
    if (across !== this.across || down !== this.down) this.setSpan(across, down);
  }

  get zoomed(): boolean {
    const { columns, rows } = this.picture.cells;
    return this.across.length < columns || this.down.length < rows;
  }

  /** The level of detail that is drawn. */
  get level(): number {
    const cellsPerPixel = this.across.length / this.plot.width / (devicePixelRatio || 1);
    return levelFor(cellsPerPixel, this.picture.cells.levels);
  }

  /** Whether something coarser stands in for tiles in view that are under way. */
  get awaits(): boolean {
    const [level, first, last] = this.#tilesInView();
    for (let index = first; index <= last; index++) if (!this.picture.cells.known(level, index)) return true;
    return false;
  }

  /** The cell at a point of the canvas, or `null` beside the map. */
  cellAt(x: number, y: number): Cell | null {
    const { left, top, width, height } = this.plot;
    const column = Math.floor(this.across.start + ((x - left) / width) * this.across.length);
    const row = Math.floor(this.down.start + ((y - top) / height) * this.down.length);
    const inside = x >= left && y >= top && y < top + height && column < this.picture.cells.columns;
    return inside && row < this.picture.cells.rows ? { row, column } : null;
  }

  /** A cell's rectangle on the canvas, in CSS pixels. */
  rectOf({ row, column }: Cell) {
    const { left, top, width, height } = this.plot;
    const w = width / this.across.length;
    const h = height / this.down.length;
    return {
      x: left + (column - this.across.start) * w,
      y: top + (row - this.down.start) * h,
      width: w,
      height: h,
    };
  }

  redraw = (): void => {
    if (this.#frame === 0) this.#frame = requestAnimationFrame(this.draw);
  };

  close(): void {
    cancelAnimationFrame(this.#frame);
  }

  draw = (): void => {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const context = this.canvas.getContext("2d");
    if (!context || this.#width === 0) return;
    const ratio = devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.#width, this.#height);
    const colours = {
      text: token("text"),
      muted: token("muted"),
      accent: token("accent"),
      gap: token("surface"),
    };
    const { left, top, width, height } = this.plot;
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    context.fillStyle = token("sunken");
    context.fillRect(left, top, width, height);
    this.#drawTiles(context);
    this.#drawGaps(context, colours.gap);
    this.#drawTexts(context);
    this.#drawMarks(context, colours);
    context.restore();
    this.#drawGroups(context);
    this.#drawAxes(context, colours.muted, colours.text);
  };

  #drawTiles(context: CanvasRenderingContext2D): void {
    const { cells } = this.picture;
    context.imageSmoothingEnabled = false;
    const [wanted, first, last] = this.#tilesInView();
    for (let index = first; index <= last; index++) this.#drawTile(context, wanted, index);
    // The whole, to have something to show wherever one goes next.
    if (!cells.known(cells.levels - 1, 0)) cells.texture(cells.levels - 1, 0);
  }

  /** Their level, the first and the last. */
  #tilesInView(): [level: number, first: number, last: number] {
    const { level } = this;
    const columns = this.picture.cells.tileTexels * 2 ** level;
    const { start, length } = this.across;
    return [level, Math.floor(start / columns), Math.floor((start + length - 1e-9) / columns)];
  }

  /** A tile, or, until it has come, the same columns of a coarser one. */
  #drawTile(context: CanvasRenderingContext2D, level: number, index: number): void {
    const { cells } = this.picture;
    const from = index * cells.tileTexels * 2 ** level;
    const to = Math.min(cells.columns, from + cells.tileTexels * 2 ** level);
    const { left, top, width, height } = this.plot;
    const scale = width / this.across.length;
    const rowHeight = height / this.down.length;
    const y = top - this.down.start * rowHeight;
    for (let coarser = level; coarser < cells.levels; coarser++) {
      const tile = Math.floor(from / (cells.tileTexels * 2 ** coarser));
      const texture = coarser === level ? cells.texture(level, tile) : cells.known(coarser, tile);
      if (!texture) continue;
      const texel = 2 ** coarser;
      const tileFrom = tile * cells.tileTexels * texel;
      context.drawImage(
        texture,
        (from - tileFrom) / texel,
        0,
        (to - from) / texel,
        cells.rows,
        left + (from - this.across.start) * scale,
        y,
        (to - from) * scale,
        cells.rows * rowHeight,
      );
      return;
    }
  }

  #drawGaps(context: CanvasRenderingContext2D, colour: string): void {
    const { left, top, width, height } = this.plot;
    const w = width / this.across.length;
    const h = height / this.down.length;
    context.fillStyle = colour;
    if (w >= GAP_FROM)
      for (
        let column = Math.ceil(this.across.start);
        column <= this.across.start + this.across.length;
        column++
      )
        context.fillRect(left + (column - this.across.start) * w - 0.5, top, 1, height);
    if (h >= GAP_FROM)
      for (let row = Math.ceil(this.down.start); row <= this.down.start + this.down.length; row++)
        context.fillRect(left, top + (row - this.down.start) * h - 0.5, width, 1);
  }

  #drawTexts(context: CanvasRenderingContext2D): void {
    const { cellText, cells } = this.picture;
    const { width, height } = this.rectOf({ row: 0, column: 0 });
    if (!cellText || width < 28 || height < 18) return;
    context.font = FONT;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (let row = Math.floor(this.down.start); row < this.down.start + this.down.length; row++)
      for (
        let column = Math.floor(this.across.start);
        column < this.across.start + this.across.length;
        column++
      ) {
        const value = cells.value(row, column);
        if (value === undefined) continue;
        const { text, ink } = cellText({ row, column }, value);
        // What does not fit is told by the colour and the tooltip.
        if (context.measureText(text).width > width - 4) continue;
        const rect = this.rectOf({ row, column });
        context.fillStyle = ink;
        context.fillText(text, rect.x + rect.width / 2, rect.y + rect.height / 2 + 0.5);
      }
  }

  #drawMarks(context: CanvasRenderingContext2D, { text, accent }: { text: string; accent: string }): void {
    const { left, top, width, height } = this.plot;
    const frame = (
      { row, column }: { row?: number | undefined; column?: number | undefined },
      strong: boolean,
    ) => {
      const rect = this.rectOf({ row: row ?? 0, column: column ?? 0 });
      const x = column === undefined ? left : rect.x;
      const y = row === undefined ? top : rect.y;
      const w = column === undefined ? width : rect.width;
      const h = row === undefined ? height : rect.height;
      // A line in the page's colour below the mark keeps it visible on any cell.
      const thin = Math.min(w, h) < 6;
      context.lineWidth = thin ? 3 : strong ? 5 : 3;
      context.strokeStyle = token("surface");
      context.strokeRect(x, y, w, h);
      context.lineWidth = strong && !thin ? 2.5 : 1.5;
      context.strokeStyle = strong ? accent : text;
      context.strokeRect(x, y, w, h);
    };
    const { hovered, chosen } = this.marks;
    if (hovered) frame(hovered, false);
    if (chosen) frame(chosen, true);
  }

  #drawGroups(context: CanvasRenderingContext2D): void {
    const { groups } = this.picture;
    if (!groups) return;
    const { left, width } = this.plot;
    const scale = width / this.across.length;
    for (const { from, to, colour } of groups) {
      const x = Math.max(left, left + (from - this.across.start) * scale);
      const end = Math.min(left + width, left + (to - this.across.start) * scale);
      if (end <= x) continue;
      context.fillStyle = colour;
      context.fillRect(x, 0, Math.max(0.5, end - x - (end - x > 3 ? 1 : 0)), GROUPS);
    }
  }

  #drawAxes(context: CanvasRenderingContext2D, muted: string, strong: string): void {
    const { left, top, width, height } = this.plot;
    const { rows, columns, cells } = this.picture;
    const w = width / this.across.length;
    const h = height / this.down.length;
    const { hovered, chosen } = this.marks;
    context.font = FONT;
    context.textAlign = "right";
    context.textBaseline = "middle";
    const rowStep = tickStep(h, 14);
    for (
      let row = Math.ceil(this.down.start / rowStep) * rowStep;
      row < this.down.start + this.down.length && row < cells.rows;
      row += rowStep
    ) {
      context.fillStyle = row === hovered?.row || row === chosen?.row ? strong : muted;
      context.fillText(rows.label(row), left - 8, top + (row + 0.5 - this.down.start) * h);
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    const columnStep = tickStep(w, columns.labelWidth ?? 28);
    for (
      let column = Math.ceil(this.across.start / columnStep) * columnStep;
      column < this.across.start + this.across.length && column < cells.columns;
      column += columnStep
    ) {
      context.fillStyle = column === hovered?.column || column === chosen?.column ? strong : muted;
      const x = left + (column + 0.5 - this.across.start) * w;
      if (x >= left && x <= left + width) context.fillText(columns.label(column), x, top + height + 8);
    }
  }
}
