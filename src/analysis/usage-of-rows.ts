import type { Capture } from "../capture/capture.ts";
import { type ExpertUsage, groupByLabel, type LayerUsage, UsageTally, usageOf } from "./expert-usage.ts";
import { type ChosenRows, chosenExperts, routedLayers } from "./scan/chosen.ts";

/**
 * Usage as `expertUsage` counts it, of some rows only.
 *
 * @param rows indices of rows, ascending.
 * @throws as `expertUsage`.
 */
export function usageOfRows(capture: Capture, rows: Uint32Array): ExpertUsage {
  const { moe } = capture.model;
  const groups = groupByLabel(capture.samples);
  const layers = new Map<number, LayerUsage>();
  for (const layer of routedLayers(capture)) {
    const tally = new UsageTally(moe!.experts, groups);
    let next = 0;
    for (const chunk of chosenExperts(capture, layer)) {
      const first = next;
      while (next < rows.length && rows[next]! < chunk.from + chunk.rows) next++;
      if (next === first) continue;
      const wanted = rows.subarray(first, next);
      tally.add(
        pick(chunk, wanted),
        Int32Array.from(wanted, (row) => capture.rows.sample[row]!),
      );
    }
    layers.set(layer, tally.result());
  }
  return usageOf(moe, layers);
}

function pick({ from, rows, ids, weights }: ChosenRows, wanted: Uint32Array) {
  const topK = ids.length / rows;
  const of = <A extends Uint16Array | Float32Array>(values: A): A => {
    const out = values.slice(0, wanted.length * topK) as A;
    wanted.forEach((row, place) => {
      out.set(values.subarray((row - from) * topK, (row - from + 1) * topK), place * topK);
    });
    return out;
  };
  return { ids: of(ids), weights: weights && of(weights) };
}
