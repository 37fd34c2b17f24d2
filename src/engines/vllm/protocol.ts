import { z } from "zod";
import { POOLINGS, TASKS } from "../../core/embedding.ts";
import { EngineError, errorOf, type MoescopeError } from "../../core/errors.ts";
import type { Plan } from "../../core/plan.ts";
import { type EngineRequest, type EngineText, FINISH_REASONS, type Finished } from "../../core/request.ts";
import { STREAM_NAMES, type StreamName } from "../../core/streams.ts";
import { moeRecord, withCurrentMoe } from "../../gating/moe-record.ts";

/**
 * What moescope and the plugin inside vLLM say to each other: `docs/vllm-protocol.md`. What comes from there is
 * checked: it was written by another program, on another machine perhaps, of another version.
 */
const PROTOCOL = 4;

const count = z.int().nonnegative();
const tokens = z.array(count);
const newTokens = z.array(z.tuple([count, z.string()])).default([]);

/** What the plugin says of itself and its model. */
export const readyMessage = z.object({
  protocol: z.literal(PROTOCOL, { error: "speaks another version of the protocol" }),
  plugin: z.string(),
  vllm: z.string(),
  model: z
    .object({
      name: z.string(),
      architecture: z.string(),
      layers: count,
      hiddenSize: count,
      vocabSize: count,
      contextLength: count,
      parameters: count,
      bytes: count,
      quantization: z.string(),
      moe: moeRecord().nullable(),
    })
    // A plugin of another version may have guessed a rule.
    .transform((model) => withCurrentMoe(model, "vllm")),
  contextSize: count,
  task: z.enum(TASKS),
  causal: z.boolean(),
  embedding: z.object({ pooling: z.enum(POOLINGS), normalize: z.boolean() }).nullable(),
  streams: z.partialRecord(
    z.enum(STREAM_NAMES as [StreamName, ...StreamName[]]),
    z.object({ layers: z.array(count), width: count }),
  ),
  refused: z.record(z.string(), z.string()).default({}),
  /** Whether this version of vLLM was tried with the plugin, and the newest that was. */
  tested: z.boolean(),
  newestTested: z.string(),
  chatTemplate: z.string().nullable(),
  namedTemplates: z.record(z.string(), z.string()).optional(),
  specialTokens: z.record(z.string(), z.string()),
  devices: z.array(z.string()),
  vision: z.boolean(),
});
export type ReadyMessage = z.infer<typeof readyMessage>;

export const wireError = z.object({
  code: z.string(),
  message: z.string(),
  retryable: z.boolean().optional(),
});
type WireError = z.infer<typeof wireError>;

/** How a request ended that did not come to its own end: vLLM was told to give it up, or had to. */
const LOSSES = ["aborted", "failed"] as const;

export const finished = z.object({
  sample: count,
  tokens,
  text: z.string(),
  reason: z.enum([...FINISH_REASONS, ...LOSSES]),
  embedding: z.array(z.number()).optional(),
  /** Of the tokens, and of the prompt's, of which the first has none. */
  logprobs: z.array(z.number()).optional(),
  promptLogprobs: z.array(z.number().nullable()).optional(),
});

/** All rows of a sample have been announced, and how it ended; `aborted` is not final, see `docs/vllm-protocol.md`. */
export const rowsEnd = z.object({
  sample: count,
  rows: count,
  how: z.enum(["complete", ...LOSSES]),
  why: z.string().nullish(),
});
export type RowsEnd = z.infer<typeof rowsEnd>;

/** The output of a sample, or `null` where there is none: vLLM gave the request up. */
export function outputOf({
  reason,
  tokens,
  embedding,
  logprobs,
  promptLogprobs,
  ...end
}: z.infer<typeof finished>): Finished | null {
  if (reason === "aborted" || reason === "failed") return null;
  const vector = embedding && { embedding: Float32Array.from(embedding) };
  return {
    ...end,
    reason,
    tokens: Int32Array.from(tokens),
    ...vector,
    ...(logprobs && { logprobs: Float32Array.from(logprobs) }),
    ...(promptLogprobs && {
      promptLogprobs: Float32Array.from(promptLogprobs, (value) => value ?? Number.NaN),
    }),
  };
}

/** Where the tokens of an image lie in a prompt. */
const media = z.array(z.object({ kind: z.string(), offset: count, length: count })).default([]);

/** The reply to `encode`. */
export const encoded = z.object({ tokens, media });

/** A text to tokenise, as both ways have it. */
export const wireText = ({ text, addSpecial, parseSpecial }: EngineText) => ({
  text,
  addSpecial,
  parseSpecial,
});

/** The answer to texts: the tokens of each. @param from who gave it. */
export function tokensOf(texts: readonly EngineText[], answer: unknown, from: string): Int32Array[] {
  const lists = understood(z.array(tokens).length(texts.length), answer, from);
  return lists.map((list) => Int32Array.from(list));
}

/** A line of the worker's. */
export const workerMessage = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("progress"),
    stage: z.string(),
    text: z.string(),
    fraction: z.number().nullable(),
  }),
  readyMessage.extend({ type: z.literal("ready") }),
  z.object({ type: z.literal("reply"), id: count, value: z.unknown(), newTokens }),
  z.object({
    type: z.literal("steps"),
    id: count,
    drawn: z.array(z.object({ sample: count, tokenId: count })),
    finished: z.array(finished),
    processed: count,
    newTokens,
  }),
  z.object({ type: z.literal("rows"), id: count, path: z.string(), rows: count }),
  rowsEnd.extend({ type: z.literal("ended"), id: count }),
  z.object({ type: z.literal("end"), id: count, cancelled: z.boolean() }),
  z.object({ type: z.literal("error"), id: count.nullable(), error: wireError }),
]);
export type WorkerMessage = z.infer<typeof workerMessage>;
export type RunMessage = Extract<WorkerMessage, { type: "steps" | "rows" | "ended" | "end" | "error" }>;

/** Rows that may turn out not to belong to a sample whose stop string was seen late: as many more are asked for. */
const OVERSHOOT = 8;

/** What is asked of vLLM; the rows that a plan does not keep for all that are left out when they come. */
export const wirePlan = ({ streams, select }: Plan, requests: readonly EngineRequest[]) => {
  const own = requests.some(({ select }) => select !== undefined);
  const { phase, positions, last } = own ? EVERY_ROW : toldSelection(select);
  const late = requests.some(({ sampling }) => sampling.stop.length > 0);
  return {
    streams,
    select: {
      phase,
      positions: positions && [...positions],
      last: last !== null && late ? last + OVERSHOOT : last,
    },
  };
};

const EVERY_ROW = { phase: null, positions: null, last: null };

/**
 * The part of a selection that the plugin knows: a phase, positions from the beginning, the last rows. It selects all rows
 * of the selection at least.
 */
function toldSelection(select: Plan["select"]): Pick<Plan["select"], "phase" | "positions" | "last"> {
  const { phase, positions, tokenIds, window, steps, stepWindow, any, exclude, last } = select;
  // One condition among several is as good as given outright.
  if (any?.length === 1 && phase === null && positions === null && last === null)
    return toldSelection({ ...any[0]!, last: null });
  const fromEnd = positions?.[0] !== undefined && positions[0] < 0;
  const simple = !(tokenIds || window || steps || stepWindow || any || exclude || fromEnd);
  if (simple) return { phase, positions, last };
  const prompt = fromEnd && positions.at(-1)! < 0;
  return {
    phase: prompt ? "prompt" : steps || stepWindow ? "generated" : phase,
    positions: fromEnd ? null : positions,
    last: prompt && phase !== "generated" ? -positions[0]! : null,
  };
}

/**
 * Something of the other side's, as the protocol has it.
 *
 * @param from who said it.
 * @throws EngineError `ENGINE_INCOMPATIBLE`.
 */
export function understood<T>(schema: z.ZodType<T>, value: unknown, from: string): T {
  const { data, error } = schema.safeParse(value);
  if (error === undefined) return data;
  const { path, message } = error.issues[0]!;
  throw new EngineError(
    "ENGINE_INCOMPATIBLE",
    `${from} answers what moescope does not understand (${[...path, message].join(": ")}); ` +
      "install the same version of moescope on both sides",
    { cause: error },
  );
}

/** An error of the plugin's as ours. */
export function fromWire({ code, message, retryable = false }: WireError): MoescopeError {
  return (
    errorOf(code, message, { retryable }) ??
    new EngineError("ENGINE_FAILED", `vLLM failed: ${message}`, { retryable })
  );
}
