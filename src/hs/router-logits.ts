import type { Capture } from "../capture/capture.ts";
import { flag, list, optionsReader, unchecked } from "../core/options.ts";
import type { Tensor } from "../core/tensor.ts";
import type { GenerateOptions } from "../run/generate-options.ts";
import type { LanguageModel } from "../run/language-model.ts";
import type { MultiModalData } from "../run/prompts/prompt-object.ts";
import { generateUnchecked } from "./capture.ts";
import { type Outputs, outputsOf } from "./outputs.ts";

/** What these functions need of a model; what `load` gives has it. */
export type CapturingModel = Pick<LanguageModel, "capture">;

/** 0-based layer -> router logits `[tokens, experts]`, not normalised. Dense layers are absent. */
export type RouterLogits = Map<number, Tensor<"float32">>;

/** A prompt in vLLM's shape: text, and what goes with it. */
export interface MultiModalPrompt {
  readonly prompt: string;
  readonly multiModalData?: MultiModalData;
}

/** Whether the samples come apart. */
export interface SplitOptions<Split extends boolean> {
  /** One Map per sample instead of one Map with the samples' rows one after another. */
  readonly splitBySamples?: Split;
}

/** What {@link getMoeRouterLogitsGenerate} runs, and how it draws tokens. */
export interface RouterLogitsGenerateOptions<Split extends boolean>
  extends SplitOptions<Split>,
    Omit<GenerateOptions, "maxTokens"> {
  readonly prompts: readonly (string | MultiModalPrompt)[];
  /** Tokens to generate after each prompt; the last one drawn does not pass through the model. Default 1. */
  readonly maxTokens?: number;
}

/** @param call whose options they are. */
export const readSplit = <Split extends boolean>(call: string, options: unknown): SplitOptions<Split> =>
  optionsReader<{ splitBySamples?: boolean }>(call, { splitBySamples: flag })(options) as SplitOptions<Split>;

/** How to generate, `capture` checks. */
const readGenerate = optionsReader<RouterLogitsGenerateOptions<boolean>>(
  "hs.getMoeRouterLogitsGenerate",
  {
    prompts: list<string | MultiModalPrompt>(unchecked),
    splitBySamples: flag,
    ...generateUnchecked,
  },
  ["prompts"],
);

/** A Map over all samples, or one per sample. */
type MapOrMaps<Split extends boolean> = Split extends true ? RouterLogits[] : RouterLogits;

/**
 * Router logits of every MoE layer for some texts: `get_moe_router_logits` of EasySteer's first version.
 *
 * Rows are the texts' tokens, sample after sample in the order given, position after position; `[totalTokens,
 * experts]` per layer. A model without MoE layers gives an empty Map and one warning.
 *
 * @throws RequestError as `LanguageModel.capture`.
 * @example
 * import { hs } from "moescope";
 * const [routerLogits, outputs] = await hs.getMoeRouterLogits(llm, ["The capital of France is Paris."]);
 * routerLogits.get(5); // { type: "float32", dims: [8, 16], data }
 */
export async function getMoeRouterLogits<Split extends boolean = false>(
  llm: CapturingModel,
  texts: readonly string[],
  options: SplitOptions<Split> = {},
): Promise<[MapOrMaps<Split>, Outputs]> {
  const { splitBySamples } = readSplit<Split>("hs.getMoeRouterLogits", options);
  const capture = await llm.capture(texts, { streams: ["router_logits"] });
  return [mapOrMaps(capture, splitBySamples), outputsOf(capture)];
}

/**
 * Router logits of prompts and what the model writes after them: EasySteer's `get_moe_router_logits_generate`.
 *
 * As {@link getMoeRouterLogits}, with `promptTokens + generatedTokens - 1` rows a sample: the last token drawn does
 * not pass through the model. Sampling is greedy unless told otherwise.
 *
 * @throws RequestError `INVALID_ARGUMENT` for a prompt with an image where the engine or the model takes text only.
 * @example
 * import { hs } from "moescope";
 * const [routerLogits, outputs] = await hs.getMoeRouterLogitsGenerate(llm, { prompts: ["What is AI?"], maxTokens: 10 });
 */
export async function getMoeRouterLogitsGenerate<Split extends boolean = false>(
  llm: CapturingModel,
  options: RouterLogitsGenerateOptions<Split>,
): Promise<[MapOrMaps<Split>, Outputs]> {
  const {
    prompts,
    splitBySamples,
    maxTokens = 1,
    ...sampling
  } = readGenerate(options) as RouterLogitsGenerateOptions<Split>;
  const capture = await llm.capture(prompts, {
    ...sampling,
    maxTokens,
    streams: ["router_logits"],
  });
  return [mapOrMaps(capture, splitBySamples), outputsOf(capture)];
}

/**
 * EasySteer's class interface to {@link getMoeRouterLogits}, of its first version; it holds no state.
 *
 * @example
 * import { hs } from "moescope";
 * const [routerLogits, outputs] = await new hs.MoERouterLogitsCaptureV1().getRouterLogits(llm, ["Hello world"]);
 */
export class MoERouterLogitsCaptureV1 {
  /** As {@link getMoeRouterLogits}. */
  getRouterLogits<Split extends boolean = false>(
    llm: CapturingModel,
    texts: readonly string[],
    options: SplitOptions<Split> = {},
  ): Promise<[MapOrMaps<Split>, Outputs]> {
    return getMoeRouterLogits(llm, texts, options);
  }
}

/**
 * EasySteer's class interface to {@link getMoeRouterLogitsGenerate}; it holds no state.
 *
 * @example
 * import { hs } from "moescope";
 * const generate = new hs.MoERouterLogitsCaptureGenerate();
 * const [routerLogits] = await generate.getRouterLogitsGenerate(llm, { prompts: ["What is AI?"], maxTokens: 10 });
 */
export class MoERouterLogitsCaptureGenerate {
  /** As {@link getMoeRouterLogitsGenerate}. */
  getRouterLogitsGenerate<Split extends boolean = false>(
    llm: CapturingModel,
    options: RouterLogitsGenerateOptions<Split>,
  ): Promise<[MapOrMaps<Split>, Outputs]> {
    return getMoeRouterLogitsGenerate(llm, options);
  }
}

/** One stream of a capture, read into a Map of its own for each sample. */
export function mapsBySample(capture: Capture, stream: FloatStream): RouterLogits[] {
  return capture.samples.map((_, sample) => new Map(capture.sample(sample).stream(stream)));
}

type FloatStream = "router_logits" | "hidden_states";

function mapOrMaps<Split extends boolean>(capture: Capture, split: Split | undefined): MapOrMaps<Split> {
  const result = split ? mapsBySample(capture, "router_logits") : new Map(capture.routerLogits);
  return result as MapOrMaps<Split>;
}
