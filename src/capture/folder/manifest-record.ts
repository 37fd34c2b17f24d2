import { POOLINGS } from "../../core/embedding.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { isStreamName, type StreamName } from "../../core/streams.ts";
import { DTYPES, type Dtype } from "../../formats/safetensors.ts";
import { moeRecord, withCurrentMoe } from "../../gating/moe-record.ts";
import { embeddingsRecord } from "./embeddings.ts";
import { FORMAT, JOURNAL_FORMAT } from "./format.ts";
import { outputRecord } from "./output-record.ts";
import { runRecord } from "./run-record.ts";
import { MAX_LAYERS, streamFault } from "./stream-fault.ts";

/** The pseudo-stream of the rows' labels: written and sharded like a stream, but no model output. */
export const ROWS = "rows";

const count = schema((z) => z.int().nonnegative());

/** A `ModelInfo` as JSON, of this version or an earlier one. */
export const modelRecord = schema((z) =>
  z.object({
    name: z.string(),
    source: z.string(),
    architecture: z.string(),
    layers: count(),
    hiddenSize: count(),
    vocabSize: count(),
    contextLength: count(),
    parameters: count(),
    bytes: count(),
    quantization: z.string(),
    pooling: z.enum(POOLINGS).optional(),
    moe: moeRecord().nullable(),
  }),
);

const model = schema((z) =>
  modelRecord().extend({
    /** Of the weights' file, in hex, where whoever captured knew it. */
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .nullable(),
  }),
);

/** An edit as `editField` reads it; of what was replayed from memory, `replay` is `null`. */
const edit = schema((z) => z.record(z.string(), z.unknown()));

const stream = schema((z) =>
  z
    .object({
      /** Names of the tensors' axes, e.g. `["rows", "experts"]`. */
      axes: z.tuple([z.literal("rows"), z.string()], z.string()),
      /** Element type in the files, as safetensors spells it. */
      dtype: z.enum(Object.keys(DTYPES) as [Dtype, ...Dtype[]]),
      layers: z.array(count()),
      /** Values of a row, by layer; absent while there is no row. */
      widths: z.array(count()).optional(),
      /** Finite values that float16 could not hold and that are stored as infinite; absent: none. */
      saturated: count().optional(),
      /** Where a row has several axes, their sizes by layer. */
      dims: z.array(z.array(count())).optional(),
    })
    .refine(({ layers }) => new Set(layers).size === layers.length, {
      path: ["layers"],
      error: "a layer twice",
    })
    .refine(({ layers, axes, dims }) => (dims ?? []).length === (axes.length > 2 ? layers.length : 0), {
      path: ["dims"],
      error: "not the sizes of each layer's axes",
    })
    .refine(({ axes, dims = [] }) => dims.every((sizes) => sizes.length === axes.length - 1), {
      path: ["dims"],
      error: "not a size an axis",
    }),
);

export const shardRecord = schema((z) =>
  z.object({
    /** Index of the shard's first row among the rows of the folder. */
    firstRow: count(),
    /** 0 where a resumed run took out the rows of samples that had not ended: its tokens' texts still count. */
    rows: count(),
    /** Per stream, and for the labels under `rows`, the file; always in the folder itself. */
    files: z.record(z.string(), z.string().regex(/^[A-Za-z0-9_.]+-\d{5,}\.safetensors$/)),
  }),
);

export const manifestRecord = schema((z) =>
  z
    .object({
      format: z.enum([FORMAT, JOURNAL_FORMAT]),
      /** Version of the moescope that wrote the folder. */
      moescope: z.string(),
      /** ISO 8601, UTC. */
      createdAt: z.iso.datetime(),
      engine: z.object({ name: z.string(), version: z.string() }),
      model: model(),
      streams: z.partialRecord(
        z.custom<StreamName>((name) => isStreamName(name as string), "no stream"),
        stream(),
      ),
      /** In order of their rows, which are in the order they were computed in. */
      shards: z.array(shardRecord()),
      /** Rows in all shards. */
      rows: count(),
      /** How the run was asked for; without it the folder cannot be resumed. */
      run: runRecord().optional(),
      /** What was changed in the computation of all samples; see docs/edits.md. Absent: nothing. */
      edits: z.array(edit()).optional(),
      /** The prompts, by sample index. */
      samples: z.array(
        z.object({
          label: z.string().nullable(),
          promptTokens: count(),
          /** Where the tokens of images lie in the prompt. */
          media: z.array(z.object({ kind: z.string(), offset: count(), length: count() })).optional(),
          /** What was changed in its computation, besides the edits of the run. */
          edits: z.array(edit()).optional(),
        }),
      ),
      /** What was generated, for the samples that ended; written when the run has ended. */
      outputs: z.array(outputRecord()),
      /** Where the pooled embeddings of the samples are; absent where none are made. */
      embeddings: embeddingsRecord().optional(),
      /** Whether the run came to its end. With nothing `missing` it is still going or was killed. */
      complete: z.boolean(),
      /** Rows beyond the run's `maxRows`, which were not kept; absent: none. */
      dropped: count().optional(),
      /** Positions `[from, to)` of samples that were to come and did not; `to: null`, up to an end that is not known. */
      missing: z.array(z.object({ sample: count(), from: count(), to: count().nullable(), why: z.string() })),
    })
    .transform((read) => ({ ...read, model: withCurrentMoe(read.model, read.engine.name) })),
);

/** The contents of `manifest.json`. */
export type Manifest = Parsed<typeof manifestRecord>;
export type StreamEntry = Parsed<typeof stream>;
export type Shard = Manifest["shards"][number];

/** Ids of experts have 16 bits. */
const MAX_EXPERTS = 2 ** 16;

/**
 * Pairs of experts in all layers together: what an analysis counts of each, 8 bytes, takes 1 GiB. 100 layers of 1024
 * experts stay below.
 */
const MAX_PAIRS = 2 ** 27;

/** What is wrong with the numbers of a model that memory is taken by, or `null`. */
function sizesFault({ layers, moe }: Manifest["model"]): string | null {
  if (layers > MAX_LAYERS) return `model.layers: ${layers}; the limit is ${MAX_LAYERS}`;
  if (!moe) return null;
  const deepest = moe.layers.find((layer) => layer >= MAX_LAYERS);
  if (deepest !== undefined) return `model.moe.layers: ${deepest}; the limit is ${MAX_LAYERS - 1}`;
  if (new Set(moe.layers).size < moe.layers.length) return "model.moe.layers: a layer twice";
  const each = moe.byLayer ?? moe.layers.map(() => moe);
  for (const { experts, topK } of [moe, ...each]) {
    if (experts > MAX_EXPERTS) return `model.moe.experts: ${experts}; the limit is ${MAX_EXPERTS}`;
    if (topK > experts) return `model.moe.topK: ${topK} of ${experts} experts`;
    if (experts > moe.experts)
      return `model.moe.byLayer: ${experts} experts, where ${moe.experts} are the most`;
  }
  const pairs = moe.layers.length * moe.experts ** 2;
  return pairs > MAX_PAIRS
    ? `model.moe.experts: ${moe.experts} in ${moe.layers.length} layers are more than can be counted`
    : null;
}

/**
 * What a schema cannot say: that the parts of the manifest agree, and that its numbers are those of a model.
 *
 * @param wrong throws, with what is wrong.
 */
export function checkConsistent(
  { model, streams, shards, rows, samples, outputs, missing }: Manifest,
  wrong: (what: string) => never,
): void {
  const must = (ok: boolean, what: string) => {
    if (!ok) wrong(what);
  };
  const fault = sizesFault(model);
  must(fault === null, `is wrong at ${fault}`);
  for (const [name, entry] of Object.entries(streams) as [StreamName, StreamEntry][]) {
    const fault = streamFault(model, name, entry, rows);
    must(fault === null, `is wrong at streams.${name}.${fault}`);
  }
  let next = 0;
  for (const [i, shard] of shards.entries()) {
    must(
      shard.firstRow === next,
      `is wrong at shards.${i}.firstRow: ${shard.firstRow} where ${next} belongs`,
    );
    next += shard.rows;
    for (const name of [ROWS, ...storedStreams(streams)])
      must(Object.hasOwn(shard.files, name), `is wrong at shards.${i}.files: none for ${name}`);
  }
  must(rows === next, `is wrong at rows: ${rows} where the shards have ${next}`);
  // Row numbers are 32-bit in rows.parquet and in the permutation that sorts them.
  must(rows < 2 ** 31, `is wrong at rows: ${rows} is beyond the limit of ${2 ** 31 - 1}`);
  for (const [key, list] of Object.entries({ outputs, missing }))
    for (const [i, { sample }] of list.entries())
      must(sample < samples.length, `is wrong at ${key}.${i}.sample: there are ${samples.length} samples`);
}

/** The streams that have files: those of a dense model's router have no layers and so nothing to store. */
export function storedStreams(streams: Manifest["streams"]): StreamName[] {
  return (Object.keys(streams) as StreamName[]).filter((name) => streams[name]!.layers.length > 0);
}

/** A stream's sizes behind `rows` in its i-th layer; `[0]` while there is no row. */
export function rowDims({ dims, widths }: StreamEntry, i: number): readonly number[] {
  return dims?.[i] ?? [widths?.[i] ?? 0];
}
