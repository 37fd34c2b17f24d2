import { RequestError } from "../core/errors.ts";
import { type Field, flag, list, oneOf, optionsReader, unchecked, whole } from "../core/options.ts";
import { REDUCTIONS } from "../core/plan.ts";
import type { Tensor } from "../core/tensor.ts";
import { capture, generateUnchecked, type HsCaptureOptions, type SelectingModel } from "./capture.ts";
import type { CaptureResult } from "./capture-result.ts";
import { type Outputs, outputsOf } from "./outputs.ts";
import {
  type CapturingModel,
  type MultiModalPrompt,
  mapsBySample,
  readSplit,
  type SplitOptions,
} from "./router-logits.ts";
import type { SelectSpec } from "./select-spec.ts";

/** 0-based layer -> the residual stream after it, `[tokens, hiddenSize]`. */
export type HiddenStates = Map<number, Tensor<"float32">>;

/** A Map over all samples, or one per sample. */
type MapOrMaps<Split extends boolean> = Split extends true ? HiddenStates[] : HiddenStates;

/** What `hs.getAllHiddenStatesGenerate` runs, and which rows it keeps. */
export interface HiddenStatesGenerateOptions<Split extends boolean>
  extends SplitOptions<Split>,
    Omit<HsCaptureOptions, "stream" | "perPromptSelects"> {
  readonly prompts: readonly (string | MultiModalPrompt)[];
  /** Short for a selection: tokens with these ids, in the prompt and the generation. Not beside `select`. */
  readonly tokenIds?: readonly number[];
  /** Short for a selection: these positions of the prompt; negative ones count from its end. Not beside `select`. */
  readonly positions?: readonly number[];
}

const filled =
  (least: number): Field<readonly number[]> =>
  (value, name) => {
    const values = list(whole(least))(value, name);
    if (values.length > 0) return values;
    throw new RequestError("INVALID_ARGUMENT", `${name} is empty; leave it out to keep every row`);
  };

/** The rest `hs.capture` checks. */
const readGenerate = optionsReader<HiddenStatesGenerateOptions<boolean>>(
  "hs.getAllHiddenStatesGenerate",
  {
    ...generateUnchecked,
    prompts: list<string | MultiModalPrompt>(unchecked),
    splitBySamples: flag,
    tokenIds: filled(0),
    positions: filled(-0x7fffffff),
    layers: unchecked,
    select: unchecked,
    reduce: oneOf(REDUCTIONS),
    budgetRows: unchecked,
  },
  ["prompts"],
);

/**
 * The hidden states of every layer: `get_all_hidden_states` of EasySteer's first version.
 *
 * One Map per sample, as there; `splitBySamples: false` puts all samples' rows into one Map.
 *
 * @throws RequestError as `LanguageModel.capture`.
 * @example
 * import { hs } from "moescope";
 * const [hiddenStates] = await hs.getAllHiddenStates(llm, ["Hello world", "How are you?"]);
 * hiddenStates[0].get(3); // { type: "float32", dims: [tokens of "Hello world", hiddenSize], data }
 */
export async function getAllHiddenStates<Split extends boolean = true>(
  llm: CapturingModel,
  texts: readonly string[],
  options: SplitOptions<Split> = {},
): Promise<[MapOrMaps<Split>, Outputs]> {
  const { splitBySamples = true } = readSplit("hs.getAllHiddenStates", options);
  const captured = await llm.capture(texts, { streams: ["hidden_states"] });
  const result = splitBySamples ? mapsBySample(captured, "hidden_states") : new Map(captured.hiddenStates);
  return [result as MapOrMaps<Split>, outputsOf(captured)];
}

/**
 * The hidden states of prompts and what the model writes after them: EasySteer's `get_all_hidden_states_generate`, of both
 * versions. As {@link getAllHiddenStates}, with `promptTokens + generatedTokens - 1` rows a sample, of which the selection
 * keeps some.
 *
 * @throws RequestError `INVALID_ARGUMENT` for `select` beside `tokenIds` or `positions`; as {@link capture}.
 * @example
 * import { hs } from "moescope";
 * const prompts = ["Hello world"];
 * const [hiddenStates] = await hs.getAllHiddenStatesGenerate(llm, { prompts, positions: [-1] });
 * hiddenStates[0].get(3); // { type: "float32", dims: [1, hiddenSize], data }
 */
export async function getAllHiddenStatesGenerate<Split extends boolean = true>(
  llm: SelectingModel,
  options: HiddenStatesGenerateOptions<Split>,
): Promise<[MapOrMaps<Split>, Outputs]> {
  const {
    prompts,
    splitBySamples = true,
    tokenIds,
    positions,
    select,
    ...rest
  } = readGenerate(options) as HiddenStatesGenerateOptions<Split>;
  if (select && (tokenIds ?? positions))
    throw new RequestError(
      "INVALID_ARGUMENT",
      "hs.getAllHiddenStatesGenerate: select does not go with tokenIds or positions, which are short for one; write them into it",
    );
  const result = await capture(llm, prompts, {
    ...rest,
    ...withSelect(select ?? shortSelect(tokenIds, positions)),
  });
  return [statesOf(result, splitBySamples) as MapOrMaps<Split>, result.outputs];
}

/** EasySteer's class interface to {@link getAllHiddenStates}, of its first version; it holds no state.
 *
 * @example
 * import { hs } from "moescope";
 * const [hiddenStates] = await new hs.HiddenStatesCaptureV1().getAllHiddenStates(llm, ["Hello world"]);
 */
export class HiddenStatesCaptureV1 {
  /** As {@link getAllHiddenStates}. */
  getAllHiddenStates<Split extends boolean = true>(
    llm: CapturingModel,
    texts: readonly string[],
    options: SplitOptions<Split> = {},
  ): Promise<[MapOrMaps<Split>, Outputs]> {
    return getAllHiddenStates(llm, texts, options);
  }
}

/**
 * EasySteer's class interface to {@link getAllHiddenStatesGenerate}; it holds no state.
 *
 * @example
 * import { hs } from "moescope";
 * const generate = new hs.HiddenStatesCaptureGenerate();
 * const [hiddenStates] = await generate.getAllHiddenStatesGenerate(llm, { prompts: ["Hello world"], maxTokens: 10 });
 */
export class HiddenStatesCaptureGenerate {
  /** As {@link getAllHiddenStatesGenerate}. */
  getAllHiddenStatesGenerate<Split extends boolean = true>(
    llm: SelectingModel,
    options: HiddenStatesGenerateOptions<Split>,
  ): Promise<[MapOrMaps<Split>, Outputs]> {
    return getAllHiddenStatesGenerate(llm, options);
  }
}

const withSelect = (select: SelectSpec | undefined) => (select ? { select } : {});

function shortSelect(
  tokenIds: readonly number[] | undefined,
  positions: readonly number[] | undefined,
): SelectSpec | undefined {
  if (!tokenIds && !positions) return undefined;
  return {
    ...(tokenIds && { promptTokens: tokenIds, generationTokens: tokenIds }),
    ...(positions && { promptPositions: positions }),
  };
}

function statesOf(result: CaptureResult, split: boolean): HiddenStates | HiddenStates[] {
  return split
    ? Array.from({ length: result.length }, (_, sample) => result.sample(sample))
    : new Map(result.layers);
}
