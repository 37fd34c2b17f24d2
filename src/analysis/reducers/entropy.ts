import { entropy } from "../measures/entropy.ts";
import type { RoutingShape, StreamTally } from "../measures/measure.ts";
import type { MomentsByLabel } from "../measures/tallies/row-moments.ts";
import type { RowMean } from "../row-means.ts";
import { tallySpec } from "./measure-reducer.ts";
import { type Reducer, reducerOf } from "./reducer.ts";

/** Mean routing entropies of a corpus. */
export interface CorpusEntropy extends RoutingShape {
  /** By 0-based layer. */
  readonly layers: ReadonlyMap<number, CorpusMean>;
}

/** A mean over the rows of a corpus, with what it takes to merge it with that of another. */
export interface CorpusMean extends RowMean {
  /** Rows that are left out, because their logits are not finite. */
  readonly notFinite: number;
  /** What the mean follows from, over all rows and by label; what `merge` puts together. */
  readonly moments: MomentsByLabel;
}

/**
 * Mean routing entropy per layer in nats, as `routingEntropy` gives it for a capture, with the rows it is the mean of.
 * Needs `router_logits`. Holds seven numbers a layer and label.
 *
 * @throws RequestError when the run begins, where it does not capture router logits.
 * @example
 * import { entropyReducer } from "moescope/analysis";
 * const { layers } = await llm.capture(prompts, { into: entropyReducer(), streams: ["router_logits"] });
 * for (const [layer, { mean, rows }] of layers) console.log(layer, `${mean.toFixed(3)} nats over ${rows} rows`);
 */
export const entropyReducer = (): Reducer<CorpusEntropy> =>
  reducerOf({
    ...tallySpec("entropy", entropy.keeps as StreamTally<MomentsByLabel>),
    publish: ({ experts, topK, states }) => ({
      experts,
      topK,
      layers: new Map(
        [...states].map(([key, moments]) => {
          const { rows, finite, mean } = moments.all;
          return [
            Number(key),
            { rows: finite, notFinite: rows - finite, mean: finite === 0 ? Number.NaN : mean, moments },
          ];
        }),
      ),
    }),
    reduced: ({ experts, topK, layers }) => ({
      experts,
      topK,
      states: new Map([...layers].map(([layer, { moments }]) => [String(layer), moments])),
    }),
  });
