import { largest } from "../../../core/extremes.ts";
import type { Rgb } from "../../colours.ts";
import type { ColourDepth, Terminal } from "../terminal.ts";
import { background, dim } from "./paint.ts";
import { clip, displayWidth, padLeft, padRight } from "./text.ts";

/** One line of a map: an amount per expert. */
export interface HeatRow {
  readonly name: string;
  readonly values: ArrayLike<number>;
  /** Figures at the end of the line, one per heading in {@link HeatTable.columns}. */
  readonly figures: readonly string[];
}

/** How amounts are shown. */
export interface Scale {
  /** One column wide; for outputs without colours. */
  shade(value: number): string;
  /** `null`: nothing there, shown as a dim dot. */
  colour(value: number): Rgb | null;
  legend(depth: ColourDepth): string;
}

export interface HeatTable {
  readonly scale: Scale;
  readonly rows: readonly HeatRow[];
  readonly columns: readonly string[];
  /** Said below the map, e.g. what a row stands for. */
  readonly notes: readonly string[];
}

const LONGEST_NAME = 12;

/**
 * Rows of experts as a map with a legend. Where the experts are more than the columns, neighbours share a cell that
 * shows their mean, and a note says so.
 */
export function heatTable({ scale, rows, columns, notes }: HeatTable, { width, depth }: Terminal): string[] {
  const nameWidth = Math.min(LONGEST_NAME, largest(rows.map((row) => displayWidth(row.name))));
  const figureWidths = columns.map(
    (head, i) =>
      (i === 0 ? 2 : 1) + Math.max(head.length, largest(rows.map((row) => row.figures[i]!.length))),
  );
  const gutter = nameWidth + 1;
  const experts = rows[0]!.values.length;
  const grid = gridFor(experts, width - gutter - figureWidths.reduce((sum, w) => sum + w, 0));
  const mapWidth = grid.cells * grid.cellWidth;
  const figures = (texts: readonly string[]) =>
    texts.map((text, i) => padLeft(text, figureWidths[i]!)).join("");

  const head = " ".repeat(gutter) + padRight(axis(grid), mapWidth) + figures(columns);
  const body = rows.map((row) => {
    const name = padRight(clip(row.name, nameWidth), gutter);
    const cells = Array.from({ length: grid.cells }, (_, i) =>
      cell(merge(row.values, grid, i), scale, grid, depth),
    );
    return (name + cells.join("") + figures(row.figures)).trimEnd();
  });
  const merged = grid.perCell > 1 ? [`each cell: the mean of ${grid.perCell} experts`] : [];
  const indent = " ".repeat(gutter + grid.cellWidth - 1);
  return [
    dim(depth, head.trimEnd()),
    ...body,
    indent + scale.legend(depth),
    ...[...merged, ...notes].map((note) => dim(depth, indent + note)),
  ];
}

interface Grid {
  readonly experts: number;
  readonly cells: number;
  readonly perCell: number;
  readonly cellWidth: number;
}

/** Three columns a cell show each expert's number above it; one is the least. */
function gridFor(experts: number, width: number): Grid {
  const least = Math.max(1, Math.ceil(experts / width));
  // Even groups read more easily; they may cost up to half the resolution.
  const even = Array.from({ length: Math.floor(least / 2) + 1 }, (_, i) => least + i).find(
    (n) => experts % n === 0,
  );
  const perCell = even ?? least;
  const cells = Math.ceil(experts / perCell);
  return { experts, cells, perCell, cellWidth: Math.min(3, Math.max(1, Math.floor(width / cells))) };
}

function merge(values: ArrayLike<number>, { perCell, experts }: Grid, index: number): number {
  const from = index * perCell;
  const to = Math.min(experts, from + perCell);
  let sum = 0;
  for (let expert = from; expert < to; expert++) sum += values[expert]!;
  return sum / (to - from);
}

/** Expert numbers above the cells: each one where there is room, else every so many. */
function axis({ experts, cells, perCell, cellWidth }: Grid): string {
  if (cellWidth === 3 && perCell === 1 && experts <= 100)
    return Array.from({ length: experts }, (_, expert) => padLeft(`${expert}`, 3)).join("");
  let line = "";
  for (let i = 0; i < cells; i += 8) {
    const at = i * cellWidth + cellWidth - 1;
    const label = `${i * perCell}`;
    // A number that would run over the map's end would meet the figures' headings.
    if (at >= line.length && at + label.length <= cells * cellWidth) line = line.padEnd(at) + label;
  }
  return line;
}

function cell(value: number, scale: Scale, { cellWidth }: Grid, depth: ColourDepth): string {
  if (depth === "none") return padLeft(scale.shade(value), cellWidth);
  const colour = scale.colour(value);
  return colour ? background(depth, colour, " ".repeat(cellWidth)) : dim(depth, padLeft("·", cellWidth));
}
