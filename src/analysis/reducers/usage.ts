import { type ExpertUsage, expertUsageOf } from "../expert-usage.ts";
import { expertCounts, stateOf } from "../measures/tallies/expert-counts.ts";
import { tallySpec } from "./measure-reducer.ts";
import { type Reducer, reducerOf } from "./reducer.ts";

/**
 * Counts how often each expert is used, per layer and label, as `expertUsage` does for a capture. Holds 16 bytes per
 * layer, label and expert: 100 KB for 48 layers of 128 experts, and that again for every label.
 *
 * @example
 * import { usageReducer } from "moescope/analysis";
 * const usage = await llm.capture(prompts, { into: usageReducer() });
 * console.log(usage.layers.get(3)?.counts);
 */
export const usageReducer = (): Reducer<ExpertUsage> =>
  reducerOf({
    ...tallySpec("usage", expertCounts),
    publish: ({ experts, topK, states }) =>
      expertUsageOf({ experts, topK }, new Map([...states].map(([key, state]) => [Number(key), state]))),
    reduced: ({ experts, topK, layers }) => ({
      experts,
      topK,
      states: new Map(
        [...layers].map(([layer, { byLabel, spread }]) => [
          String(layer),
          stateOf([...byLabel], spread, experts),
        ]),
      ),
    }),
  });
