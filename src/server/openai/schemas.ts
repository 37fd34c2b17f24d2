import { z } from "zod";
import { isTokenIds, list } from "../host/list-schema.ts";
import { edits } from "../jobs/edits-schema.ts";
import { messages, VLLM_CHAT } from "../jobs/prompt-schema.ts";
import { modelName, stopText } from "../jobs/schemas.ts";

const count = z.int().nonnegative();

/** `null` stands for the default, as it does in OpenAI's API. */
const optional = <S extends z.ZodType>(schema: S) => schema.nullish();

/** Settings that would change the answer and are not there: refused unless they ask for nothing. */
const UNSUPPORTED = {
  n: z.literal(1),
  best_of: z.literal(1),
  echo: z.literal(false),
  suffix: z.literal(""),
  logprobs: z.union([z.literal(false), z.literal(0)]),
  top_logprobs: z.literal(0),
  frequency_penalty: z.literal(0),
  presence_penalty: z.literal(0),
  logit_bias: z.record(z.string(), z.never()),
  functions: z.array(z.never()).max(0),
  response_format: z.object({ type: z.literal("text") }),
  modalities: z.tuple([z.literal("text")]),
};
const unsupported = Object.fromEntries(
  Object.entries(UNSUPPORTED).map(([name, schema]) => [
    name,
    schema.nullish().meta({ description: "has no effect here; anything but this is refused" }),
  ]),
) as { [K in keyof typeof UNSUPPORTED]: z.ZodOptional<z.ZodNullable<(typeof UNSUPPORTED)[K]>> };

const shared = {
  model: optional(modelName).meta({ description: "id of a model; another name gets the first model" }),
  stream: optional(z.boolean()),
  stream_options: optional(z.object({ include_usage: optional(z.boolean()) })),
  max_tokens: optional(z.int().min(1)),
  temperature: optional(z.number().min(0).max(2)),
  top_p: optional(z.number().gt(0).max(1)),
  seed: optional(z.int()),
  stop: optional(z.union([stopText, list(stopText, { max: 4 })])),
  edits,
  ...unsupported,
};

/** What people write beside the messages; left out, the model would see another prompt. */
const variable = z
  .null({ error: "is a variable of the model's chat template: send it in chat_template_kwargs" })
  .optional();

export const chatRequest = z
  .looseObject({
    ...shared,
    max_completion_tokens: optional(z.int().min(1)),
    messages,
    ...VLLM_CHAT,
    tool_choice: z
      .enum(["none", "auto"])
      .nullish()
      .meta({ description: "an answer that is forced to call a tool is refused" }),
    reasoning_effort: z
      .string()
      .max(100)
      .nullish()
      .meta({ description: "a variable of the model's chat template" }),
    chat_template: z
      .null({ error: "cannot be set: chats go through the model's own template" })
      .optional()
      .meta({ description: "refused: chats go through the model's own template" }),
    enable_thinking: variable,
    thinking: variable,
  })
  .meta({ id: "ChatCompletionRequest" });
export type ChatRequest = z.output<typeof chatRequest>;

/** Texts of one request: as many as OpenAI takes of embeddings. */
const MAX_TEXTS = 2048;

/** A text or several, as text or as token ids. Looked at in one pass, as zod would try every form on every item. */
const texts = z
  .custom<string | string[] | number[] | number[][]>()
  .superRefine((given, context) => {
    const wrong = wrongTexts(given);
    if (wrong !== null) context.addIssue(wrong);
  })
  .meta({
    anyOf: [
      { type: "string" },
      { type: "array", minItems: 1, maxItems: MAX_TEXTS, items: { type: "string" } },
      { type: "array", minItems: 1, items: { type: "integer", minimum: 0 } },
      {
        type: "array",
        minItems: 1,
        maxItems: MAX_TEXTS,
        items: { type: "array", minItems: 1, items: { type: "integer", minimum: 0 } },
      },
    ],
  });

function wrongTexts(given: unknown): string | null {
  if (typeof given === "string" || isTokenIds(given)) return null;
  if (!Array.isArray(given) || given.length === 0)
    return "must be a text or a list of token ids, or a list of one of them";
  if (given.length > MAX_TEXTS)
    return typeof given[0] === "number"
      ? "must be token ids, whole numbers from 0 on"
      : `has ${given.length} items, the limit is ${MAX_TEXTS}`;
  const isRight = typeof given[0] === "string" ? (item: unknown) => typeof item === "string" : isTokenIds;
  const at = given.findIndex((item) => !isRight(item));
  return at < 0 ? null : `item ${at} is neither a text nor a list of token ids, or unlike the first`;
}

export const completionRequest = z
  .looseObject({
    ...shared,
    add_special_tokens: VLLM_CHAT.add_special_tokens,
    prompt: texts,
  })
  .meta({ id: "CompletionRequest" });
export type CompletionRequest = z.output<typeof completionRequest>;

export const embeddingRequest = z
  .looseObject({
    add_special_tokens: VLLM_CHAT.add_special_tokens,
    model: shared.model,
    input: texts,
    encoding_format: optional(z.enum(["float", "base64"])),
    dimensions: optional(z.int().min(1)).meta({
      description: "anything but the model's own number is refused",
    }),
  })
  .meta({ id: "EmbeddingRequest" });
export type EmbeddingRequest = z.output<typeof embeddingRequest>;

export const embeddingList = z
  .object({
    object: z.literal("list"),
    model: z.string(),
    data: z.array(
      z.object({
        object: z.literal("embedding"),
        index: count,
        embedding: z
          .union([z.array(z.number()), z.string()])
          .meta({ description: "base64: 32-bit floats, little-endian" }),
      }),
    ),
    usage: z.object({ prompt_tokens: count, total_tokens: count }),
  })
  .meta({ id: "EmbeddingList" });

const usage = z.object({ prompt_tokens: count, completion_tokens: count, total_tokens: count });
export type TokenUsage = z.infer<typeof usage>;
const finishReason = z.enum(["stop", "length"]);
const head = { id: z.string(), created: count, model: z.string() };

export const chatCompletion = z
  .object({
    ...head,
    object: z.literal("chat.completion"),
    choices: z.array(
      z.object({
        index: count,
        message: z.object({ role: z.literal("assistant"), content: z.string(), refusal: z.null() }),
        logprobs: z.null(),
        finish_reason: finishReason,
      }),
    ),
    usage,
  })
  .meta({ id: "ChatCompletion" });

export const completion = z
  .object({
    ...head,
    object: z.literal("text_completion"),
    choices: z.array(
      z.object({ index: count, text: z.string(), logprobs: z.null(), finish_reason: finishReason }),
    ),
    usage,
  })
  .meta({ id: "Completion" });

export const openaiModels = z.object({
  object: z.literal("list"),
  data: z.array(
    z.object({ id: z.string(), object: z.literal("model"), created: count, owned_by: z.string() }),
  ),
});

/** What OpenAI's API says of a failure. */
export const openaiError = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string().nullable(),
    }),
  })
  .meta({ id: "OpenAIError" });
