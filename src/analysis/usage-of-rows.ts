import type { Capture } from "../capture/capture.ts";
import { type ExpertUsage, expertUsageOf } from "./expert-usage.ts";
import { addRows, expertCounts } from "./measures/tallies/expert-counts.ts";
import { routedLayers } from "./rows/chosen.ts";
import type { LayerChunk } from "./rows/layer-chunk.ts";
import { talliedLayers } from "./scan/tallied-layers.ts";

/**
 * Usage as `expertUsage` counts it, of some rows only.
 *
 * @param rows indices of rows, ascending.
 * @throws as `expertUsage`.
 */
export function usageOfRows(capture: Capture, rows: Uint32Array): ExpertUsage {
  // Chunks come in order, and each layer begins with the first.
  let next = 0;
  const tally: Pick<typeof expertCounts, "start" | "take"> = {
    start(scope) {
      next = 0;
      return expertCounts.start(scope);
    },
    take(state, chunk, scope) {
      const first = next;
      while (next < rows.length && rows[next]! < chunk.from + chunk.rows) next++;
      if (next === first) return;
      const wanted = rows.subarray(first, next).map((row) => row - chunk.from);
      const sample = Int32Array.from(wanted, (row) => chunk.sample[row]!);
      addRows(state, pick(chunk, wanted), sample, scope);
    },
  };
  const counts = talliedLayers(capture, routedLayers(capture), tally, (state) => state);
  return expertUsageOf(capture.model.moe, counts);
}

/** @param wanted rows of the chunk. */
function pick({ ids, weights, topK }: LayerChunk, wanted: Uint32Array) {
  const of = <A extends Uint16Array | Float32Array>(values: A): A => {
    const out = values.slice(0, wanted.length * topK) as A;
    wanted.forEach((row, place) => {
      out.set(values.subarray(row * topK, (row + 1) * topK), place * topK);
    });
    return out;
  };
  return { ids: of(ids), weights: weights && of(weights) };
}
