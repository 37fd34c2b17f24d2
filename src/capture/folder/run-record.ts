import { PHASES } from "../../core/rows.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import type { RunRequest } from "../../core/sink.ts";

/**
 * How a run was asked for, in its manifest: with the streams there and the prompts' tokens in
 * `prompts.safetensors`, all it takes to continue it.
 */
export const runRecord = schema((z) => {
  const count = z.int().nonnegative();
  return z.object({
    select: z.object({
      phase: z.enum(PHASES).nullable(),
      positions: z.array(count).nullable(),
      last: count.nullable(),
    }),
    /** Of attention, the number of keys kept; absent or `null`: all. */
    topKeys: count.nullish(),
    maxTokens: count,
    sampling: z.object({
      temperature: z.number(),
      topK: count,
      topP: z.number(),
      minP: z.number(),
      seed: count,
      stop: z.array(z.string()),
      ignoreEos: z.boolean(),
    }),
    /** What the engine was loaded with, as far as values depend on it. */
    settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
    /** Bytes of all streams together in a shard. */
    shardBytes: z.number().positive(),
  });
});

export type RunRecord = Parsed<typeof runRecord>;

export function recordOf(request: RunRequest, shardBytes: number): RunRecord {
  const { select, topKeys, maxTokens, sampling, settings } = request;
  return {
    select: { ...select, positions: select.positions && [...select.positions] },
    topKeys,
    maxTokens,
    sampling: { ...sampling, stop: [...sampling.stop] },
    settings: { ...settings },
    shardBytes,
  };
}
