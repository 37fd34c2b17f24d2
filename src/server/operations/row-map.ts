import { setImmediate } from "node:timers/promises";
import { chosenRows, hasStream, routedLayers } from "../../analysis/chosen.ts";
import { rowEntropy, rowMargin } from "../../analysis/entropy.ts";
import type { Capture } from "../../capture/capture.ts";
import { RequestError } from "../../errors.ts";
import { type Answer, arrayAnswer, jsonAnswer } from "../answer.ts";
import type { MapFacts } from "../api/analysis.ts";
import { ByteCache } from "../byte-cache.ts";
import type { OpenedCapture } from "../open-captures.ts";

/** Cells of a tile: with 48 layers 192 KiB of floats, a screen wide. */
export const TILE_CELLS = 1024;
/** Tiles of full detail that are kept: those of 390,000 rows x 48 layers. */
const MAX_BYTES = 256 << 20;
/** Stands for "no expert is known here" in a tile of experts. */
const NO_EXPERT = 0xffff;

export const MEASURES = ["entropy", "margin", "top_weight", "top_expert"] as const;
export type Measure = (typeof MEASURES)[number];

/** What is known of each row and layer of a tile, `[layers, cells]`; NaN: not known. */
interface Detail {
  readonly cells: number;
  readonly entropy: Float32Array;
  readonly margin: Float32Array;
  readonly top_weight: Float32Array;
  readonly top_expert: Uint16Array;
}

/**
 * The token x layer map in tiles. Level 0 has a cell a row; a cell of level n stands for 2^n neighbours: their mean,
 * or the expert that is best for most of them.
 */
export class RowMap {
  readonly #details = new ByteCache<Detail>(MAX_BYTES);

  facts({ capture }: OpenedCapture): Answer {
    const facts: MapFacts = {
      rows: capture.rows.length,
      layers: routedLayers(capture),
      tileCells: TILE_CELLS,
      levels: levelsOf(capture),
      experts: capture.model.moe?.experts ?? 0,
      measures: [
        { name: "entropy", dtype: "float32", unit: "nats", reduction: "mean" },
        { name: "margin", dtype: "float32", unit: "logits", reduction: "mean" },
        { name: "top_weight", dtype: "float32", unit: "weight", reduction: "mean" },
        { name: "top_expert", dtype: "uint16", unit: "expert", reduction: "most frequent" },
      ],
    };
    return jsonAnswer(facts);
  }

  /** A tile, `[layers, cells]`. Gives way to other work between pieces of 1024 rows. */
  async tile(opened: OpenedCapture, measure: Measure, level: number, index: number): Promise<Answer> {
    const { capture } = opened;
    const rows = capture.rows.length;
    const step = 2 ** level;
    const first = index * TILE_CELLS * step;
    if (level >= levelsOf(capture) || first >= Math.max(1, rows))
      throw new RequestError("INVALID_ARGUMENT", `there is no tile ${index} of level ${level}`);
    const layers = routedLayers(capture);
    const cells = Math.min(TILE_CELLS, Math.ceil((rows - first) / step));
    const out = newTile(measure, layers.length * cells);
    for (let from = first; from < Math.min(rows, first + TILE_CELLS * step); from += TILE_CELLS) {
      const detail = await this.#detail(opened, layers, from);
      out.add(detail, layers.length, cells, Math.floor((from - first) / step), step);
    }
    return arrayAnswer(out.result(), [layers.length, cells]);
  }

  async #detail({ found, capture }: OpenedCapture, layers: readonly number[], from: number): Promise<Detail> {
    const key = `${found.folder}\n${found.version}\n${from}`;
    let detail = this.#details.get(key);
    if (!detail) {
      await setImmediate();
      detail = detailOf(capture, layers, from, Math.min(capture.rows.length, from + TILE_CELLS));
      this.#details.set(key, detail, detail.entropy.length * 14);
    }
    return detail;
  }
}

export const levelsOf = (capture: Capture) =>
  1 + Math.max(0, Math.ceil(Math.log2(Math.max(1, capture.rows.length) / TILE_CELLS)));

function detailOf(capture: Capture, layers: readonly number[], from: number, to: number): Detail {
  const cells = to - from;
  const size = layers.length * cells;
  const unknown = () => new Float32Array(size).fill(Number.NaN);
  const [entropy, margin, weight] = [unknown(), unknown(), unknown()];
  const expert = new Uint16Array(size).fill(NO_EXPERT);
  layers.forEach((layer, line) => {
    const { ids, weights } = chosenRows(capture, layer, from, to);
    const topK = ids.length / cells;
    for (let cell = 0; cell < cells; cell++) {
      const at = line * cells + cell;
      expert[at] = ids[cell * topK]!;
      if (weights) weight[at] = Math.max(...weights.subarray(cell * topK, (cell + 1) * topK));
    }
    if (!hasStream(capture, "router_logits", layer)) return;
    const logits = capture.routerLogits.rows(layer, from, to);
    entropy.set(rowEntropy(logits), line * cells);
    margin.set(rowMargin(logits, ids), line * cells);
  });
  return { cells, entropy, margin, top_weight: weight, top_expert: expert };
}

/** A tile that takes details one after the other. */
interface Tile {
  add(detail: Detail, lines: number, cells: number, firstCell: number, step: number): void;
  result(): Float32Array | Uint16Array;
}

const newTile = (measure: Measure, size: number): Tile =>
  measure === "top_expert" ? expertTile(size) : meanTile(measure, size);

function meanTile(measure: Exclude<Measure, "top_expert">, size: number): Tile {
  const sums = new Float64Array(size);
  const counts = new Uint32Array(size);
  return {
    add(detail, lines, cells, firstCell, step) {
      const values = detail[measure];
      for (let line = 0; line < lines; line++)
        for (let row = 0; row < detail.cells; row++) {
          const value = values[line * detail.cells + row]!;
          if (Number.isNaN(value)) continue;
          const at = line * cells + firstCell + Math.floor(row / step);
          sums[at]! += value;
          counts[at]!++;
        }
    },
    result: () => Float32Array.from(sums, (sum, at) => sum / counts[at]!),
  };
}

function expertTile(size: number): Tile {
  const out = new Uint16Array(size).fill(NO_EXPERT);
  // A cell of more rows than a piece has its rows in several pieces: their votes are kept until then.
  const votes = new Map<number, Map<number, number>>();
  return {
    add({ cells: rows, top_expert }, lines, cells, firstCell, step) {
      for (let line = 0; line < lines; line++)
        for (let row = 0; row < rows; row++) {
          const expert = top_expert[line * rows + row]!;
          const at = line * cells + firstCell + Math.floor(row / step);
          if (step === 1) {
            out[at] = expert;
            continue;
          }
          const of = votes.get(at) ?? new Map<number, number>();
          votes.set(at, of.set(expert, (of.get(expert) ?? 0) + 1));
        }
    },
    result() {
      for (const [at, of] of votes) {
        let most = 0;
        for (const [expert, count] of of)
          if (count > most || (count === most && expert < out[at]!)) {
            most = count;
            out[at] = expert;
          }
      }
      return out;
    },
  };
}
