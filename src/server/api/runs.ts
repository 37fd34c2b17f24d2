import { z } from "zod";
import { FINISH_REASONS } from "../../engines/engine.ts";
import { modelRecord } from "../../store/manifest.ts";
import { phase, streamName } from "./values.ts";

const count = z.int().nonnegative();

/** Longest list of prompts in one request: more are better run by the command line. */
export const MAX_PROMPTS = 10_000;

const message = z.object({ role: z.string(), content: z.string() });

/** One prompt: text, token ids or a chat. */
export const prompt = z
  .union([
    z.strictObject({ prompt: z.string().min(1), label: z.string().max(200).nullish() }),
    z.strictObject({ tokenIds: z.array(count).min(1), label: z.string().max(200).nullish() }),
    z.strictObject({ messages: z.array(message).min(1), label: z.string().max(200).nullish() }),
  ])
  .meta({ id: "Prompt" });

const sampling = {
  temperature: z.number().min(0).max(100).optional(),
  topK: count.optional(),
  topP: z.number().gt(0).max(1).optional(),
  minP: z.number().min(0).lt(1).optional(),
  seed: count.max(0xffffffff).optional(),
  stop: z.array(z.string().min(1)).max(16).optional(),
};

export const generateRequest = z
  .strictObject({
    model: z.string().optional().meta({ description: "id of a model; default: the first" }),
    prompt,
    maxTokens: count.default(64),
    ...sampling,
  })
  .meta({ id: "GenerateRequest" });
export type GenerateRequest = z.infer<typeof generateRequest>;

export const captureRequest = z
  .strictObject({
    model: z.string().optional(),
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "must be letters, digits, _ and -, at most 64")
      .optional()
      .meta({ description: "of the folder; default: the time" }),
    prompts: z
      .union([z.array(prompt).min(1).max(MAX_PROMPTS), z.literal("demo")])
      .meta({ description: "`demo`: the labelled texts that come with the demo model" }),
    streams: z.array(streamName).optional(),
    layers: z.array(z.int()).optional(),
    maxTokens: count.default(0),
    ...sampling,
  })
  .meta({ id: "CaptureRequest" });
export type CaptureRequest = z.infer<typeof captureRequest>;

export const model = z
  .object({
    id: z.string(),
    info: modelRecord,
    engine: z.object({ kind: z.string(), version: z.string() }),
    devices: z.array(z.string()),
    contextSize: count,
    waiting: count.meta({ description: "runs in the engine's queue, the one that goes on included" }),
  })
  .meta({ id: "Model" });
export type ServedModel = z.infer<typeof model>;

export const modelList = z.object({ models: z.array(model) });
export type ModelList = z.infer<typeof modelList>;

export const RUN_KINDS = ["generate", "capture", "chat.completion", "text_completion"] as const;
export const RUN_STATES = ["waiting", "running", "done", "failed", "cancelled"] as const;

/** One use of an engine, from its place in the queue to its end. */
export const run = z
  .object({
    id: z.string(),
    kind: z.enum(RUN_KINDS),
    model: z.string(),
    state: z.enum(RUN_STATES),
    createdAt: z.string(),
    ahead: count.meta({ description: "runs that come before it" }),
    progress: z.object({ samples: count, totalSamples: count, tokens: count, totalTokens: count }).nullable(),
    /** The rows, once there are any. */
    capture: z.string().nullable(),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
  })
  .meta({ id: "Run" });
export type Run = z.infer<typeof run>;

export const runList = z.object({ runs: z.array(run) });
export type RunList = z.infer<typeof runList>;

/** A token that went through the model, with its routing in the layers of the run's `start`. */
export const tokenEvent = z
  .object({
    sample: count,
    position: count,
    tokenId: z.int(),
    text: z.string(),
    phase,
    experts: z.array(z.array(count)).meta({ description: "[layers, topK], best first" }),
    weights: z.array(z.array(z.number())).meta({ description: "[layers, topK], 4 digits" }),
    entropy: z.array(z.number()).meta({ description: "[layers], nats, 4 digits" }),
  })
  .meta({ id: "Token" });
export type TokenEvent = z.infer<typeof tokenEvent>;

/** What a run tells, by the event's name. */
export const runEvents = {
  /** First of a run that began: which layers the tokens' arrays are of. */
  start: z.object({
    run,
    layers: z.array(count),
    experts: count,
    topK: count,
    samples: z.array(z.object({ label: z.string().nullable(), promptTokens: count })),
  }),
  tokens: z.object({ run: z.string(), tokens: z.array(tokenEvent) }),
  /** New state or progress. */
  run,
  /** Last of a run; of a sample that ended, its text. */
  end: z.object({
    run,
    outputs: z.array(z.object({ sample: count, text: z.string(), reason: z.enum(FINISH_REASONS) })),
  }),
  /** This reader was too slow: so many events were left out. Of the live view only. */
  dropped: z.object({ events: count }),
} as const;
export type RunEvents = { [K in keyof typeof runEvents]: z.infer<(typeof runEvents)[K]> };
