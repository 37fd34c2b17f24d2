import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { POOLINGS } from "../../core/embedding.ts";
import { CaptureError } from "../../core/errors.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { axesOf, isStreamName, type StreamName, streamSpec } from "../../core/streams.ts";
import type { TensorType } from "../../core/tensor.ts";
import { DTYPES, type Dtype } from "../../formats/safetensors.ts";
import { moeRecord, withCurrentMoe } from "../../gating/moe-record.ts";
import { embeddingsRecord } from "./embeddings.ts";
import { FORMAT } from "./format.ts";
import { outputRecord } from "./output-record.ts";
import { runRecord } from "./run-record.ts";

export const MANIFEST_FILE = "manifest.json";

/** The pseudo-stream of the rows' labels: written and sharded like a stream, but no model output. */
export const ROWS = "rows";

/**
 * In bytes. Prompts' labels and outputs make up most of it, about 1 KB a sample; a string in V8 ends at 512 MiB, and
 * a manifest beyond half of that is not one.
 */
const MAX_MANIFEST_LENGTH = 256 * 2 ** 20;

const product = (sizes: readonly number[]) => sizes.reduce((all, size) => all * size, 1);
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
      /** Where a row has several axes, their sizes by layer. */
      dims: z.array(z.array(count())).optional(),
    })
    .refine(({ layers }) => new Set(layers).size === layers.length, {
      path: ["layers"],
      error: "a layer twice",
    })
    .refine(({ layers, widths }) => !widths || widths.length === layers.length, {
      path: ["widths"],
      error: "not one width a layer",
    })
    .refine(({ layers, axes, dims }) => (dims ?? []).length === (axes.length > 2 ? layers.length : 0), {
      path: ["dims"],
      error: "not the sizes of each layer's axes",
    })
    .refine(({ axes, dims = [] }) => dims.every((sizes) => sizes.length === axes.length - 1), {
      path: ["dims"],
      error: "not a size an axis",
    })
    .refine(
      ({ widths, dims }) => !widths || !dims || dims.every((sizes, i) => product(sizes) === widths[i]),
      {
        path: ["dims"],
        error: "other sizes than the widths",
      },
    ),
);

const shard = schema((z) =>
  z.object({
    /** Index of the shard's first row among the rows of the folder. */
    firstRow: count(),
    /** 0 where a resumed run took out the rows of samples that had not ended: its tokens' texts still count. */
    rows: count(),
    /** Per stream, and for the labels under `rows`, the file; always in the folder itself. */
    files: z.record(z.string(), z.string().regex(/^[A-Za-z0-9_.]+-\d{5,}\.safetensors$/)),
  }),
);

const manifest = schema((z) =>
  z
    .object({
      format: z.literal(FORMAT),
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
      shards: z.array(shard()),
      /** Rows in all shards. */
      rows: count(),
      /** How the run was asked for; without it the folder cannot be resumed. */
      run: runRecord().optional(),
      /** The prompts, by sample index. */
      samples: z.array(
        z.object({
          label: z.string().nullable(),
          promptTokens: count(),
          /** Where the tokens of images lie in the prompt. */
          media: z.array(z.object({ kind: z.string(), offset: count(), length: count() })).optional(),
        }),
      ),
      /** What was generated, for the samples that ended; written when the run has ended. Until then see the shards. */
      outputs: z.array(outputRecord()),
      /** Where the pooled embeddings of the samples are; absent where none are made. */
      embeddings: embeddingsRecord().optional(),
      /** Whether the run came to its end. With nothing `missing` it is still going or was killed. */
      complete: z.boolean(),
      /** Positions `[from, to)` of samples that were to come and did not; `to: null`, up to an end that is not known. */
      missing: z.array(z.object({ sample: count(), from: count(), to: count().nullable(), why: z.string() })),
    })
    .transform((read) => ({ ...read, model: withCurrentMoe(read.model, read.engine.name) })),
);

/** The contents of `manifest.json`. */
export type Manifest = Parsed<typeof manifest>;
export type StreamEntry = Parsed<typeof stream>;

/**
 * Read and check a folder's manifest: what a run was, and whether it is complete.
 *
 * @throws CaptureError `CAPTURE_INVALID` naming the place in the manifest.
 */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, MANIFEST_FILE);
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > MAX_MANIFEST_LENGTH)
      throw invalid(path, `has ${size} bytes; the limit is ${MAX_MANIFEST_LENGTH}`, "is this a capture?");
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof CaptureError) throw cause;
    const missing = ["ENOENT", "ENOTDIR"].includes((cause as NodeJS.ErrnoException).code ?? "");
    if (missing)
      throw invalid(folder, `is no capture folder: it has no ${MANIFEST_FILE}`, "check the path", cause);
    throw invalid(path, `cannot be read (${(cause as Error).message})`, "check its permissions", cause);
  }
  return parseManifest(text, path);
}

/** The manifest is written in pieces of about this many characters: a corpus' outputs in one string take as much again. */
const PIECE = 2 ** 18;

/** The manifest as JSON, a line a key: people look into it, and a line a generated token would bury the rest. */
export function* manifestBytes(manifest: Manifest): Generator<Uint8Array> {
  let text = "";
  for (const part of manifestParts(manifest)) {
    text += part;
    if (text.length < PIECE) continue;
    yield Buffer.from(text);
    text = "";
  }
  yield Buffer.from(text);
}

function* manifestParts(manifest: Manifest): Generator<string> {
  let before = "{\n";
  for (const [key, value] of Object.entries(manifest)) {
    yield `${before}${JSON.stringify(key)}: `;
    if (Array.isArray(value)) yield* listParts(value);
    else yield JSON.stringify(value);
    before = ",\n";
  }
  yield "\n}\n";
}

function* listParts(list: readonly unknown[]): Generator<string> {
  yield "[";
  for (const [i, entry] of list.entries()) yield `${i > 0 ? "," : ""}${JSON.stringify(entry)}`;
  yield "]";
}

/** @throws CaptureError `CAPTURE_INVALID` naming the place in the text. */
function parseManifest(text: string, path: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalid(path, `is no JSON (${(cause as Error).message})`, RESTORE, cause);
  }
  const format = (json as { format?: unknown } | null)?.format;
  if (typeof format === "string" && format !== FORMAT && format.startsWith("moescope.capture/"))
    throw invalid(
      path,
      `has format ${format}, this moescope reads ${FORMAT}`,
      "install the one that wrote it",
    );
  const result = manifest().safeParse(json);
  if (!result.success) {
    const { path: place, message } = result.error.issues[0]!;
    throw invalid(path, `is wrong at ${place.join(".") || "its top"}: ${message}`, RESTORE, result.error);
  }
  checkConsistent(result.data, path);
  return result.data;
}

/** What a schema cannot say: that the parts of the manifest agree. */
function checkConsistent({ streams, shards, rows, samples, outputs, missing }: Manifest, path: string): void {
  const must = (ok: boolean, what: string) => {
    if (!ok) throw invalid(path, what, RESTORE);
  };
  for (const [name, { axes, dtype, widths }] of Object.entries(streams) as [StreamName, StreamEntry][]) {
    const { type } = streamSpec(name);
    const [given, wanted] = [axes.slice(1).join(), axesOf(name, axes.length - 1).join()];
    must(given === wanted, `is wrong at streams.${name}.axes: ${given} where ${wanted} belongs`);
    must(STORED_AS[type].includes(dtype), `is wrong at streams.${name}.dtype: ${dtype} holds no ${type}`);
    must(
      rows === 0 || widths !== undefined,
      `is wrong at streams.${name}.widths: absent, though there are rows`,
    );
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

/** By type in memory, what it may be on disk. */
const STORED_AS: Record<TensorType, readonly Dtype[]> = {
  float32: ["F32", "F16", "BF16"],
  uint16: ["U8", "U16"],
  int32: ["I32"],
};

const RESTORE = "restore the file from where it was copied, or capture again";

function invalid(path: string, what: string, todo: string, cause?: unknown): CaptureError {
  return new CaptureError("CAPTURE_INVALID", `${path} ${what}; ${todo}`, { cause });
}
