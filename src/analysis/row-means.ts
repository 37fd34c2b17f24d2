import type { Capture } from "../capture/capture.ts";
import { checkCapture } from "../capture/check-capture.ts";
import { CaptureError } from "../core/errors.ts";
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
 * Mean routing entropy per layer in nats; see {@link rowEntropy}. A capture is read in chunks of rows. Logits that are not
 * finite are refused, as a mean has no place to say how many it leaves out; `analyzeCapture` counts them.
 *
 * @param source a capture with `router_logits`, or such logits as `hs.getMoeRouterLogits` gives them.
 * @throws RequestError `UNKNOWN_STREAM` when the capture has no router logits, `INVALID_ARGUMENT` for what is neither;
 *   CaptureError `CAPTURE_INVALID` for logits that are not finite.
 * @example
 * import { routingEntropy } from "moescope/analysis";
 * for (const [layer, nats] of routingEntropy(capture)) console.log(`layer ${layer}: ${nats.toFixed(3)} nats`);
 */
export function routingEntropy(
  source: Capture | ReadonlyMap<number, Tensor<"float32">>,
): Map<number, number> {
  if (isMap(source))
    return new Map([...source].map(([layer, logits]) => [layer, mean(rowEntropy(logits), layer)]));
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
    start: () => ({ sum: 0, rows: 0, notFinite: 0 }),
    take(state: { sum: number; rows: number; notFinite: number }, chunk: LayerChunk) {
      for (const value of valuesOf(chunk)) {
        if (Number.isNaN(value)) state.notFinite++;
        state.sum += value;
      }
      state.rows += chunk.rows;
    },
  };
  const layers = [...capture.routerLogits.keys()];
  let at = 0;
  return talliedLayers(capture, layers, sums, ({ sum, rows, notFinite }) => {
    assertFinite(notFinite, rows, layers[at++]!);
    return sum / rows;
  });
}

function mean(values: Float64Array, layer: number): number {
  assertFinite(values.filter(Number.isNaN).length, values.length, layer);
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function assertFinite(notFinite: number, rows: number, layer: number): void {
  if (notFinite > 0)
    throw new CaptureError(
      "CAPTURE_INVALID",
      `layer ${layer}: router logits of ${notFinite} of ${rows} rows are not finite; analyzeCapture leaves them out and counts them`,
    );
}

const isMap = (source: object): source is ReadonlyMap<number, Tensor<"float32">> =>
  source instanceof Map || ("get" in source && !("routerLogits" in source));
