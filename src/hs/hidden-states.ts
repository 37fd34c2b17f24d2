import type { Tensor } from "../core/tensor.ts";
import {
  type CapturingModel,
  mapsBySample,
  type Outputs,
  readSplit,
  type SplitOptions,
} from "./router-logits.ts";

/** 0-based layer -> the residual stream after it, `[tokens, hiddenSize]`. */
export type HiddenStates = Map<number, Tensor<"float32">>;

/**
 * The hidden states of every layer: EasySteer's `get_all_hidden_states`.
 *
 * One Map per sample, as there; `splitBySamples: false` puts all samples' rows into one Map.
 *
 * @throws RequestError as `LanguageModel.capture`.
 * @example
 * const [hiddenStates] = await hs.getAllHiddenStates(llm, ["Hello world", "How are you?"]);
 * hiddenStates[0].get(3); // { type: "float32", dims: [tokens of "Hello world", hiddenSize], data }
 */
export async function getAllHiddenStates<Split extends boolean = true>(
  llm: CapturingModel,
  texts: readonly string[],
  options: SplitOptions<Split> = {},
): Promise<[Split extends true ? HiddenStates[] : HiddenStates, Outputs]> {
  const { splitBySamples = true } = readSplit("hs.getAllHiddenStates", options);
  const capture = await llm.capture(texts, { streams: ["hidden_states"] });
  const result = splitBySamples ? mapsBySample(capture, "hidden_states") : new Map(capture.hiddenStates);
  return [result as Split extends true ? HiddenStates[] : HiddenStates, capture.outputs];
}
