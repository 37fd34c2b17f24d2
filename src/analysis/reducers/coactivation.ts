import type { RoutingShape } from "../measures/measure.ts";
import { type Coactivation, coactivationOf, pairCounts } from "../measures/tallies/pair-counts.ts";
import { tallySpec } from "./measure-reducer.ts";
import { type Reducer, reducerOf } from "./reducer.ts";

/** Co-activation of experts in a corpus. */
export interface CorpusCoactivation extends RoutingShape {
  /** By 0-based layer. */
  readonly layers: ReadonlyMap<number, Coactivation>;
}

/**
 * Co-activation of experts per layer, as `coactivation` gives it for a capture. Holds 8 bytes per layer and pair:
 * 6 MB for 48 layers of 128 experts, 126 MB for 60 layers of 512.
 *
 * @throws RequestError when the run begins, where it captures neither expert ids nor router logits.
 * @example
 * import { coactivationReducer } from "moescope/analysis";
 * const { experts, layers } = await llm.capture(prompts, { into: coactivationReducer() });
 * console.log(layers.get(3)?.lift[2 * experts + 7]); // experts 2 and 7 of layer 3
 */
export const coactivationReducer = (): Reducer<CorpusCoactivation> =>
  reducerOf({
    ...tallySpec("co-activation", pairCounts),
    publish: ({ experts, topK, states }) => ({
      experts,
      topK,
      layers: new Map([...states].map(([key, state]) => [Number(key), coactivationOf(state, experts)])),
    }),
    reduced: ({ experts, topK, layers }) => ({
      experts,
      topK,
      states: new Map([...layers].map(([layer, { rows, counts }]) => [String(layer), { rows, counts }])),
    }),
  });
