import { RequestError } from "../core/errors.ts";
import { argument, type Fields, list, oneOf, optionsReader, unchecked } from "../core/options.ts";
import { REDUCTIONS, type Reduction } from "../core/plan.ts";
import type { RowSelection } from "../core/row-selection.ts";
import type { GenerateOptions } from "../run/generate-options.ts";
import type { LanguageModel } from "../run/language-model.ts";
import type { Prompt } from "../run/prompts/prompt-object.ts";
import { CaptureResult, type CaptureStream } from "./capture-result.ts";
import { type SelectSpec, selectSpec } from "./select-spec.ts";

/** What {@link capture} needs of a model; what `load` gives has it. */
export type SelectingModel = Pick<LanguageModel, "capture" | "task">;

/** What is captured, and how it is generated. */
export interface HsCaptureOptions extends Omit<GenerateOptions, "maxTokens"> {
  /**
   * Tokens to generate after each prompt; the last one drawn does not pass through the model, so that 1 captures the
   * prompt alone. Default 1; 0 for a model that makes embeddings.
   */
  readonly maxTokens?: number;
  /** 0-based layers; negative ones count from the last. Default: all that have the stream. */
  readonly layers?: readonly number[];
  /** Which rows to keep. Default: every row. */
  readonly select?: SelectSpec;
  /** By prompt, what it is to have in place of `select`; `null` keeps that. */
  readonly perPromptSelects?: readonly (SelectSpec | null)[];
  /** Default `hidden_states`. */
  readonly stream?: CaptureStream;
  /** One row a sample instead of all that are selected. Default `all`. */
  readonly reduce?: Reduction;
  /** Rows to keep at most; `CaptureResult.dropped` counts the others. Default: all. */
  readonly budgetRows?: number;
}

const STREAMS = ["hidden_states", "router_logits"] as const satisfies readonly CaptureStream[];

/** How to generate, `LanguageModel.capture` checks. */
export const generateUnchecked: Fields<GenerateOptions> = {
  maxTokens: unchecked,
  n: unchecked,
  logprobs: unchecked,
  promptLogprobs: unchecked,
  temperature: unchecked,
  topK: unchecked,
  topP: unchecked,
  minP: unchecked,
  seed: unchecked,
  stop: unchecked,
  ignoreEos: unchecked,
};

/** Once read, selections are the library's own. */
type Read = Omit<HsCaptureOptions, "select" | "perPromptSelects"> & {
  readonly select?: RowSelection;
  readonly perPromptSelects?: readonly (RowSelection | null)[];
};

const readOptions = optionsReader<Read>("hs.capture", {
  ...generateUnchecked,
  layers: unchecked,
  select: selectSpec,
  perPromptSelects: list((value, name) => (value === null ? null : selectSpec(value, name))),
  stream: oneOf(STREAMS),
  reduce: oneOf(REDUCTIONS),
  budgetRows: unchecked,
});

/**
 * Hidden states or router logits of prompts and what is written after them: EasySteer's `hs.capture`, of its second
 * version.
 *
 * @throws RequestError `INVALID_ARGUMENT` for a selection that cannot be, or not one a prompt; as `LanguageModel.capture`.
 * @example
 * import { hs } from "moescope";
 * const result = await hs.capture(llm, ["Hello world"], { layers: [3, 5], select: { promptPositions: [-1] } });
 * result.rows(3); // { type: "float32", dims: [1, hiddenSize], data }: the last token of the prompt
 */
export async function capture(
  llm: SelectingModel,
  prompts: readonly Prompt[],
  options: HsCaptureOptions = {},
): Promise<CaptureResult> {
  const {
    stream = "hidden_states",
    maxTokens = llm.task === "embed" ? 0 : 1,
    perPromptSelects,
    budgetRows,
    ...rest
  } = readOptions(options);
  const given = argument("hs.capture", "the prompts", prompts, list<Prompt>(unchecked));
  const captured = await llm.capture(withSelects(given, perPromptSelects), {
    ...rest,
    ...(budgetRows !== undefined && { maxRows: budgetRows }),
    maxTokens,
    streams: [stream],
  });
  return new CaptureResult(captured, stream);
}

function withSelects(
  prompts: readonly Prompt[],
  selects: readonly (RowSelection | null)[] | undefined,
): readonly Prompt[] {
  if (!selects) return prompts;
  if (selects.length !== prompts.length)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `hs.capture: perPromptSelects has ${selects.length} entries for ${prompts.length} prompts; give one each, null for the common one`,
    );
  return prompts.map((prompt, i) => {
    const select = selects[i] ?? null;
    return select === null ? prompt : withSelect(prompt, select);
  });
}

function withSelect(prompt: Prompt, select: RowSelection): Prompt {
  if (typeof prompt === "string") return { prompt, select };
  if (prompt instanceof Int32Array) return { tokenIds: prompt, select };
  if (!Array.isArray(prompt)) return { ...(prompt as object), select };
  return prompt.every((item) => typeof item === "number")
    ? { tokenIds: prompt, select }
    : { messages: prompt as never, select };
}
