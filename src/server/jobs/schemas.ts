import { z } from "zod";
import { modelRecord } from "../../capture/folder/manifest.ts";
import { TASKS } from "../../core/embedding.ts";
import { FINISH_REASONS } from "../../core/request.ts";
import { list } from "../host/list-schema.ts";
import { phase, streamName } from "../host/schemas.ts";
import { edits } from "./edits-schema.ts";
import { prompt } from "./prompt-schema.ts";

const count = z.int().nonnegative();

/** Longest list of prompts in one request: more are better run by the command line. */
const MAX_PROMPTS = 10_000;

/** A stop text is compared with the end of what is generated, token by token. */
export const stopText = z.string().min(1).max(1000);
/** The name of a model: it comes back in messages. */
export const modelName = z.string().max(500);

const sampling = {
  temperature: z.number().min(0).max(100).optional(),
  topK: count.optional(),
  topP: z.number().gt(0).max(1).optional(),
  minP: z.number().min(0).lt(1).optional(),
  seed: count.max(0xffffffff).optional(),
  stop: list(stopText, { max: 16 }).optional(),
};

export const generateRequest = z
  .strictObject({
    model: modelName.optional().meta({ description: "id of a model; default: the first" }),
    prompt,
    maxTokens: count.optional().meta({ description: "default: 64, or 0 where the model makes embeddings" }),
    edits,
    ...sampling,
  })
  .meta({ id: "GenerateRequest" });

export const captureRequest = z
  .strictObject({
    model: modelName.optional(),
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "must be letters, digits, _ and -, at most 64")
      .optional()
      .meta({ description: "of the folder; default: the time" }),
    prompts: z
      .union([z.array(prompt).min(1).max(MAX_PROMPTS), z.literal("demo")])
      .meta({ description: "`demo`: the labelled texts that come with the demo model" }),
    streams: list(streamName, { max: 1000 }).optional(),
    layers: list(z.int(), { max: 10_000 }).optional(),
    maxTokens: count.default(0),
    edits,
    ...sampling,
  })
  .meta({ id: "CaptureRequest" });

const model = z
  .object({
    id: z.string(),
    info: modelRecord(),
    engine: z.object({ kind: z.string(), version: z.string() }),
    devices: z.array(z.string()),
    contextSize: count,
    task: z.enum(TASKS).meta({ description: "with `embed`, nothing can be generated" }),
    waiting: count.meta({ description: "jobs in the engine's queue, the one that goes on included" }),
  })
  .meta({ id: "Model" });
export type ServedModel = z.infer<typeof model>;

export const modelList = z.object({
  models: z.array(model),
  recording: z
    .object({ bytes: count, requests: count })
    .nullable()
    .meta({ description: "how much of what requests run is kept, the newest; null: nothing is" }),
});
export type ModelList = z.infer<typeof modelList>;

const JOB_KINDS = ["generate", "capture", "chat.completion", "text_completion", "embedding"] as const;
export type JobKind = (typeof JOB_KINDS)[number];
const JOB_STATES = ["waiting", "running", "done", "failed", "cancelled"] as const;

/** One use of an engine, from its place in the queue to its end. */
export const job = z
  .object({
    id: z.string(),
    kind: z.enum(JOB_KINDS),
    model: z.string(),
    state: z.enum(JOB_STATES),
    createdAt: z.string(),
    ahead: count.meta({ description: "jobs that come before it" }),
    progress: z.object({ samples: count, totalSamples: count, tokens: count, totalTokens: count }).nullable(),
    /** The rows, once there are any. */
    capture: z.string().nullable(),
    error: z.object({ code: z.string(), message: z.string(), retryable: z.boolean() }).nullable(),
  })
  .meta({ id: "Job" });
export type Job = z.infer<typeof job>;

export const jobList = z.object({ jobs: z.array(job) });
export type JobList = z.infer<typeof jobList>;

/** A token that went through the model, with its routing in the layers of the job's `start`. */
const tokenEvent = z
  .object({
    sample: count,
    position: count,
    tokenId: z.int(),
    text: z.string(),
    phase,
    experts: z.array(z.array(count)).meta({ description: "[layers, topK], best first" }),
    weights: z.array(z.array(z.number())).meta({ description: "[layers, topK], 4 digits" }),
    entropy: z
      .array(z.number().nullable())
      .meta({ description: "[layers], nats, 4 digits; null without router logits" }),
  })
  .meta({ id: "Token" });
export type TokenEvent = z.infer<typeof tokenEvent>;

/** What a job tells, by the event's name. */
export const jobEvents = {
  /** First of a job that began: which layers the tokens' arrays are of. */
  start: z.object({
    job,
    layers: z.array(count),
    experts: count,
    topK: count,
    samples: z.array(z.object({ label: z.string().nullable(), promptTokens: count })),
  }),
  tokens: z.object({ job: z.string(), tokens: z.array(tokenEvent) }),
  /** New state, place in the queue or progress. */
  job,
  /** Last of a job, with the texts of the samples that ended. */
  end: z.object({
    job,
    outputs: z.array(z.object({ sample: count, text: z.string(), reason: z.enum(FINISH_REASONS) })),
  }),
  /** This reader was too slow: so many events were left out. Of the live view only. */
  dropped: z.object({ events: count }),
} as const;
export type JobEvents = { [K in keyof typeof jobEvents]: z.infer<(typeof jobEvents)[K]> };
