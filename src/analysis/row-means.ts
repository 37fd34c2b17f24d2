import type { Capture } from "../capture/capture.ts";
import { checkCapture } from "../capture/check-capture.ts";
import type { Tensor } from "../core/tensor.ts";
import type { LayerChunk } from "./rows/layer-chunk.ts";
import { talliedLayers } from "./scan/tallied-layers.ts";
import { rowEntropy } from "./statistics/row-entropy.ts";

/** Something of each row, on average. */
export interface RowMean {
  readonly rows: number;
  /** NaN when there are no rows. */
  readonly mean: number;
}

/**
 * Mean routing entropy per layer in nats; see {@link rowEntropy}. A capture is read in chunks of rows.
 *
 * @param source a capture with `router_logits`, or such logits as `hs.getMoeRouterLogits` gives them.
 * @throws RequestError `UNKNOWN_STREAM` when the capture has no router logits, `INVALID_ARGUMENT` for what is neither.
 * @example
 * import { routingEntropy } from "moescope/analysis";
 * for (const [layer, nats] of routingEntropy(capture)) console.log(`layer ${layer}: ${nats.toFixed(3)} nats`);
 */
export function routingEntropy(
  source: Capture | ReadonlyMap<number, Tensor<"float32">>,
): Map<number, number> {
  if (isMap(source)) return new Map([...source].map(([layer, logits]) => [layer, mean(rowEntropy(logits))]));
  return meanByLayer(checkCapture("routingEntropy", "source", source), ({ entropy }) => entropy!);
}

/**
 * Mean margin per layer in logits; see {@link rowMargin}. The chosen experts are the captured ones, else those that
 * the model's gating rule picks.
 *
 * @throws RequestError `UNKNOWN_STREAM` when the capture has no router logits, `INVALID_ARGUMENT` for what is no capture.
 * @example
 * import { routingMargin } from "moescope/analysis";
 * for (const [layer, margin] of routingMargin(capture)) console.log(`layer ${layer}: ${margin.toFixed(3)} logits`);
 */
export const routingMargin = (capture: Capture): Map<number, number> =>
  meanByLayer(checkCapture("routingMargin", "capture", capture), ({ margin }) => margin!);

function meanByLayer(capture: Capture, valuesOf: (chunk: LayerChunk) => Float64Array): Map<number, number> {
  const sums = {
    start: () => ({ sum: 0, rows: 0 }),
    take(state: { sum: number; rows: number }, chunk: LayerChunk) {
      for (const value of valuesOf(chunk)) state.sum += value;
      state.rows += chunk.rows;
    },
  };
  return talliedLayers(capture, [...capture.routerLogits.keys()], sums, ({ sum, rows }) => sum / rows);
}

const mean = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;

const isMap = (source: object): source is ReadonlyMap<number, Tensor<"float32">> =>
  source instanceof Map || ("get" in source && !("routerLogits" in source));
