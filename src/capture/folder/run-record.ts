import type {
  ResolvedCondition,
  ResolvedSelection,
  RowCondition,
  RowSelection,
} from "../../core/row-selection.ts";
import { PHASES } from "../../core/rows.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import type { RunRequest } from "../../core/sink.ts";

/**
 * How a run was asked for, in its manifest: with the streams there and the prompts' tokens in
 * `prompts.safetensors`, all it takes to continue it.
 */
export const runRecord = schema((z) => {
  const count = z.int().nonnegative();
  const bounds = z.tuple([z.int(), z.int().nullable()]);
  const condition = {
    phase: z.enum(PHASES).nullable(),
    positions: z.array(z.int()).nullable(),
    tokenIds: z.array(count).optional(),
    window: bounds.optional(),
    steps: z.array(count).optional(),
    stepWindow: bounds.optional(),
  };
  const select = z.object({
    ...condition,
    any: z.array(z.object(condition)).optional(),
    exclude: z.array(z.object(condition)).optional(),
    last: count.nullable(),
  });
  return z.object({
    select,
    /** By sample, the selection it has in place of `select`, or `null`; absent: none has. */
    selects: z.array(select.nullable()).optional(),
    /** What became of each sample's selected rows; absent: all were kept. */
    reduce: z.enum(["last", "mean"]).optional(),
    /** Rows that are kept at most; absent: all. */
    maxRows: count.optional(),
    /** Of which tokens the outputs have log-probabilities; absent: of none. */
    logprobs: z.object({ generated: z.boolean(), prompt: z.boolean() }).optional(),
    /** Samples of each prompt, one after the other, with seeds that follow each other; absent: 1. */
    n: count.optional(),
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
  const { select, selects, reduce, maxRows, n, logprobs, topKeys, maxTokens, sampling, settings } = request;
  return {
    select: storedSelection(select),
    ...(selects && { selects: selects.map((own) => own && storedSelection(own)) }),
    ...(reduce && { reduce }),
    ...(maxRows !== undefined && { maxRows }),
    ...(n !== undefined && n > 1 && { n }),
    ...(logprobs && { logprobs }),
    topKeys,
    maxTokens,
    sampling: { ...sampling, stop: [...sampling.stop] },
    settings: { ...settings },
    shardBytes,
  };
}

type StoredSelection = RunRecord["select"];

function storedSelection({ any, exclude, last, ...own }: ResolvedSelection): StoredSelection {
  return {
    ...storedCondition(own),
    ...(any && { any: any.map(storedCondition) }),
    ...(exclude && { exclude: exclude.map(storedCondition) }),
    last,
  };
}

function storedCondition({ phase, positions, tokenIds, window, steps, stepWindow }: ResolvedCondition) {
  return {
    phase,
    positions: positions && [...positions],
    ...(tokenIds && { tokenIds: [...tokenIds] }),
    ...(window && { window: [...window] as [number, number | null] }),
    ...(steps && { steps: [...steps] }),
    ...(stepWindow && { stepWindow: [...stepWindow] as [number, number | null] }),
  };
}

/** A stored selection as options have it, which makes the same one again. */
export function selectionOfRecord({ any, exclude, last, ...own }: StoredSelection): RowSelection {
  return {
    ...withoutNulls(own),
    ...(any && { any: any.map(withoutNulls) }),
    ...(exclude && { exclude: exclude.map(withoutNulls) }),
    ...(last !== null && { last }),
  };
}

const withoutNulls = (condition: object): RowCondition =>
  Object.fromEntries(Object.entries(condition).filter(([, value]) => value !== null));
