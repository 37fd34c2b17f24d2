import type { ColourDepth, Terminal } from "../terminal.ts";
import { viridis } from "./colours.ts";
import { background, dim } from "./paint.ts";
import { clip, displayWidth, padLeft, padRight } from "./text.ts";

/** One line of a map: how much each expert was used, as multiples of its fair share; 0: never. */
export interface HeatRow {
  readonly name: string;
  readonly usage: ArrayLike<number>;
  /** Figures at the end of the line, one per heading in {@link HeatTable.columns}. */
  readonly figures: readonly string[];
}

export interface HeatTable {
  readonly rows: readonly HeatRow[];
  readonly columns: readonly string[];
  /** Said below the map, e.g. what a row stands for. */
  readonly notes: readonly string[];
}

/** Usage at which the colours end. Twice and three times the fair share are common, much more is rare. */
const TOP = 4;
/** A cell for use below ½, ½-1½ (about fair), 1½-2½, 2½-4 and from 4 times the fair share. */
const SHADES = [..."·░▒▓█"];
const LONGEST_NAME = 12;

/**
 * Rows of experts as a map with a legend. Where the experts are more than the columns, neighbours share a cell that
 * shows their mean, and a note says so.
 */
export function heatTable({ rows, columns, notes }: HeatTable, { width, depth }: Terminal): string[] {
  const nameWidth = Math.min(LONGEST_NAME, Math.max(...rows.map((row) => displayWidth(row.name))));
  const figureWidths = columns.map(
    (head, i) => (i === 0 ? 2 : 1) + Math.max(head.length, ...rows.map((row) => row.figures[i]!.length)),
  );
  const gutter = nameWidth + 1;
  const experts = rows[0]!.usage.length;
  const grid = gridFor(experts, width - gutter - figureWidths.reduce((sum, w) => sum + w, 0));
  const mapWidth = grid.cells * grid.cellWidth;
  const figures = (texts: readonly string[]) =>
    texts.map((text, i) => padLeft(text, figureWidths[i]!)).join("");

  const head = " ".repeat(gutter) + padRight(axis(grid), mapWidth) + figures(columns);
  const body = rows.map((row) => {
    const name = padRight(clip(row.name, nameWidth), gutter);
    const cells = Array.from({ length: grid.cells }, (_, i) => cell(merge(row.usage, grid, i), grid, depth));
    return name + cells.join("") + figures(row.figures);
  });
  const merged = grid.perCell > 1 ? [`each cell: the mean of ${grid.perCell} experts`] : [];
  const indent = " ".repeat(gutter + grid.cellWidth - 1);
  return [
    dim(depth, head),
    ...body,
    indent + legend(depth),
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

function merge(usage: ArrayLike<number>, { perCell, experts }: Grid, index: number): number {
  const from = index * perCell;
  const to = Math.min(experts, from + perCell);
  let sum = 0;
  for (let expert = from; expert < to; expert++) sum += usage[expert]!;
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

function cell(usage: number, { cellWidth }: Grid, depth: ColourDepth): string {
  if (usage === 0) return dim(depth, padLeft(depth === "none" ? " " : "·", cellWidth));
  if (depth === "none") return padLeft(shade(usage), cellWidth);
  return background(depth, viridis(usage / TOP), " ".repeat(cellWidth));
}

function shade(usage: number): string {
  return SHADES[usage < 0.5 ? 0 : usage < 1.5 ? 1 : usage < 2.5 ? 2 : usage < TOP ? 3 : 4]!;
}

function legend(depth: ColourDepth): string {
  if (depth === "none") return "· <½  ░ 1  ▒ 2  ▓ 3  █ 4+ × fair share, blank: never";
  const steps = 16;
  const ramp = Array.from({ length: steps }, (_, i) => background(depth, viridis(i / (steps - 1)), " "));
  return `0 ${ramp.join("")} ${TOP}+ × fair share  ${dim(depth, "·")} never`;
}
