import { setImmediate } from "node:timers/promises";
import { chosenRows, hasStream, routedLayers } from "../../analysis/rows/chosen.ts";
import { rowEntropy, rowMargin } from "../../analysis/statistics/row-entropy.ts";
import type { Capture } from "../../capture/capture.ts";
import { RequestError } from "../../core/errors.ts";
import { type Values as TileValues, valuesOf as tileOf } from "./answer.ts";
import { ByteCache } from "./byte-cache.ts";
import type { OpenedCapture } from "./open-captures.ts";

/** Cells of a tile: with 48 layers 192 KiB of floats, a screen wide. */
export const TILE_CELLS = 1024;
/** Rows of a cell that are read at most, or a tile of a capture of millions would take minutes. */
export const MAX_CELL_ROWS = 256;
/** Values of rows that are kept: one measure of 1,400,000 rows x 48 layers. */
const MAX_BYTES = 256 << 20;
/** Stands for "no expert is known here" in a tile of experts. */
const NO_EXPERT = 0xffff;

export const MEASURES = ["entropy", "margin", "top_weight", "top_expert"] as const;
export type Measure = (typeof MEASURES)[number];

/** A row's value in a layer, or a cell's; NaN or {@link NO_EXPERT}: not known. */
type Values = Float32Array | Uint16Array;

/** Which tile, and how much of each of its cells is read. */
export interface TileQuestion {
  readonly measure: Measure;
  readonly level: number;
  readonly tile: number;
  /** Rows of a cell that are read: all where it has no more, else that many neighbours in its middle. */
  readonly rows: number;
}

/**
 * The token x layer map in tiles. Level 0 has a cell a row; a cell of level n stands for 2^n neighbours: their mean,
 * or the expert that is best for most of them. Of cells with more rows than are asked for only so many in the middle
 * are read, so that a tile takes no longer the more rows a capture has.
 */
export class RowMap {
  readonly #pieces = new ByteCache<Values>(MAX_BYTES);

  /** A tile, `[layers, cells]`. Gives way to other work between pieces of about {@link TILE_CELLS} rows. */
  async tile(opened: OpenedCapture, { measure, level, tile, rows }: TileQuestion): Promise<TileValues> {
    const { capture } = opened;
    const step = 2 ** level;
    const first = tile * TILE_CELLS * step;
    if (level >= levelsOf(capture) || first >= Math.max(1, capture.rows.length))
      throw new RequestError("INVALID_ARGUMENT", `there is no tile ${tile} of level ${level}`);
    const last = Math.min(capture.rows.length, first + TILE_CELLS * step);
    const cells = Math.ceil((last - first) / step);
    const layers = routedLayers(capture);
    const reduce = measure === "top_expert" ? mostFrequent() : mean;
    const out =
      measure === "top_expert"
        ? new Uint16Array(layers.length * cells)
        : new Float32Array(layers.length * cells);
    if (step <= rows)
      for (let from = first; from < last; from += TILE_CELLS) {
        const to = Math.min(last, from + TILE_CELLS);
        const piece = await this.#piece(opened, measure, layers, from, to);
        for (let line = 0; line < layers.length; line++)
          for (let row = from; row < to; row += step) {
            const at = line * (to - from) + row - from;
            out[line * cells + (row - first) / step] = reduce(piece, at, at + Math.min(step, to - row));
          }
      }
    else {
      const together = Math.ceil(TILE_CELLS / rows);
      for (let cell = 0; cell < cells; cell++) {
        if (cell % together === 0) await setImmediate();
        const begin = first + cell * step;
        const inCell = Math.min(step, last - begin);
        const read = Math.min(rows, inCell);
        const from = begin + Math.floor((inCell - read) / 2);
        layers.forEach((layer, line) => {
          out[line * cells + cell] = reduce(valuesOf(capture, layer, measure, from, from + read), 0, read);
        });
      }
    }
    return tileOf(out, [layers.length, cells]);
  }

  /** Every row's values, `[layers, to - from]`. */
  async #piece(
    { found, capture }: OpenedCapture,
    measure: Measure,
    layers: readonly number[],
    from: number,
    to: number,
  ): Promise<Values> {
    const key = `${found.folder}\n${found.version}\n${measure}\n${from}`;
    if (!this.#pieces.get(key)) await setImmediate();
    // Another tile of the same rows may have been quicker.
    const known = this.#pieces.get(key);
    if (known) return known;
    const size = layers.length * (to - from);
    const piece = measure === "top_expert" ? new Uint16Array(size) : new Float32Array(size);
    layers.forEach((layer, line) => {
      piece.set(valuesOf(capture, layer, measure, from, to), line * (to - from));
    });
    this.#pieces.set(key, piece, piece.byteLength);
    return piece;
  }
}

export const levelsOf = (capture: Capture) =>
  1 + Math.max(0, Math.ceil(Math.log2(Math.max(1, capture.rows.length) / TILE_CELLS)));

/** A measure of the rows `[from, to)` in a layer. */
function valuesOf(
  capture: Capture,
  layer: number,
  measure: Measure,
  from: number,
  to: number,
): ArrayLike<number> {
  if (measure === "entropy" || measure === "margin") {
    if (!hasStream(capture, "router_logits", layer)) return new Float32Array(to - from).fill(Number.NaN);
    const logits = capture.routerLogits.rows(layer, from, to);
    if (measure === "entropy") return rowEntropy(logits);
    return rowMargin(logits, chosenRows(capture, layer, from, to).ids);
  }
  const { ids, weights } = chosenRows(capture, layer, from, to);
  const topK = ids.length / (to - from);
  if (measure === "top_expert")
    return Uint16Array.from({ length: to - from }, (_, row) => (topK > 0 ? ids[row * topK]! : NO_EXPERT));
  const out = new Float32Array(to - from).fill(weights ? 0 : Number.NaN);
  if (weights)
    for (let i = 0; i < weights.length; i++) {
      const row = Math.floor(i / topK);
      if (weights[i]! > out[row]!) out[row] = weights[i]!;
    }
  return out;
}

/** Mean of the values `[from, to)` that are known. */
function mean(values: ArrayLike<number>, from: number, to: number): number {
  let sum = 0;
  let known = 0;
  for (let i = from; i < to; i++) {
    if (Number.isNaN(values[i])) continue;
    sum += values[i]!;
    known++;
  }
  return sum / known;
}

/** Of the values `[from, to)` the one that occurs most, the lowest of several. */
function mostFrequent(): (values: ArrayLike<number>, from: number, to: number) => number {
  const counts = new Uint32Array(NO_EXPERT + 1);
  return (values, from, to) => {
    let best = NO_EXPERT;
    for (let i = from; i < to; i++) counts[values[i]!]!++;
    for (let i = from; i < to; i++) {
      const value = values[i]!;
      if (counts[value]! > counts[best]! || (counts[value] === counts[best] && value < best)) best = value;
    }
    for (let i = from; i < to; i++) counts[values[i]!] = 0;
    return best;
  };
}
