import { join } from "node:path";
import type { EmbeddingInfo } from "../../core/embedding.ts";
import { POOLINGS } from "../../core/embedding.ts";
import { CaptureError } from "../../core/errors.ts";
import type { Finished } from "../../core/request.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { replaceFile, type WriteOptions } from "../../formats/atomic-file.ts";
import { readHeader, readInto, safetensorsBytes, withFile } from "../../formats/safetensors.ts";
import { FORMAT } from "./format.ts";

export const embeddingsFile = schema((z) => z.string().regex(/^embeddings-\d{5,}\.safetensors$/));

/**
 * The pooled embeddings of a run in its manifest. Each file has two tensors: `embeddings` (F32, `[samples, values]`) and
 * `embeddings.sample` (I32), the samples they are of. A sample that was run again is in a later file too, which counts.
 */
export const embeddingsRecord = schema((z) =>
  z.object({
    pooling: z.enum(POOLINGS),
    normalize: z.boolean(),
    files: z.array(embeddingsFile()),
  }),
);

export type EmbeddingsRecord = Parsed<typeof embeddingsRecord>;

export const newEmbeddings = ({ pooling, normalize }: EmbeddingInfo): EmbeddingsRecord => ({
  pooling,
  normalize,
  files: [],
});

const VALUES = "embeddings";
const SAMPLES = "embeddings.sample";

/** Gathers embeddings and writes them, a file at a time. A file counts once a manifest or its journal names it. */
export class EmbeddingsWriter {
  readonly #folder: string;
  readonly #record: EmbeddingsRecord | undefined;
  readonly #options: WriteOptions | undefined;
  #pending: { readonly sample: number; readonly values: Float32Array }[] = [];

  constructor(folder: string, record: EmbeddingsRecord | undefined, options?: WriteOptions) {
    this.#folder = folder;
    this.#record = record;
    this.#options = options;
  }

  /** Of what is not written yet. */
  get bytes(): number {
    return this.#pending.reduce((sum, { values }) => sum + values.byteLength, 0);
  }

  add(samples: readonly Finished[]): void {
    for (const { sample, embedding } of samples)
      if (embedding) this.#pending.push({ sample, values: embedding });
  }

  /** Write what was gathered and name it in the record. */
  async flush(): Promise<void> {
    if (!this.#record || this.#pending.length === 0) return;
    const { files } = this.#record;
    const size = this.#pending[0]!.values.length;
    const data = new Float32Array(this.#pending.length * size);
    this.#pending.forEach(({ values }, i) => {
      data.set(values, i * size);
    });
    const sample = Int32Array.from(this.#pending, ({ sample }) => sample);
    const number = files.reduce((max, file) => Math.max(max, Number(/\d+/.exec(file)![0]) + 1), 0);
    const file = `embeddings-${String(number).padStart(5, "0")}.safetensors`;
    const bytes = safetensorsBytes(
      [
        { name: VALUES, dtype: "F32", shape: [sample.length, size], data },
        { name: SAMPLES, dtype: "I32", shape: [sample.length], data: sample },
      ],
      { format: FORMAT, axes: "samples,values" },
    );
    await replaceFile(join(this.#folder, file), bytes, this.#options);
    files.push(file);
    this.#pending = [];
  }
}

/** Where the embedding of a sample lies. */
interface Place {
  readonly path: string;
  readonly offset: number;
  readonly size: number;
}

/**
 * The ends of samples with the embeddings that a folder has of them: each is read when it is asked for.
 *
 * @throws CaptureError `CAPTURE_INVALID` naming the file that is missing or wrong.
 */
export function withEmbeddings(
  outputs: readonly Finished[],
  folder: string,
  record: EmbeddingsRecord | undefined,
): readonly Finished[] {
  if (!record) return outputs;
  const places = new Map<number, Place>();
  for (const file of record.files)
    for (const [sample, place] of placesIn(join(folder, file))) places.set(sample, place);
  return outputs.map((output) => {
    const place = places.get(output.sample);
    if (!place) return output;
    return Object.defineProperty({ ...output }, "embedding", { enumerable: true, get: () => read(place) });
  });
}

function read({ path, offset, size }: Place): Float32Array {
  return withFile(path, (fd) => readInto(fd, path, offset, new Float32Array(size)));
}

function placesIn(path: string): [sample: number, place: Place][] {
  return withFile(path, (fd) => {
    const { tensors } = readHeader(fd, path);
    const [values, samples] = [tensors.get(VALUES), tensors.get(SAMPLES)];
    const [count, size] = values?.shape ?? [];
    if (
      values?.dtype !== "F32" ||
      values.shape.length !== 2 ||
      samples?.dtype !== "I32" ||
      `${samples.shape}` !== `${count}`
    )
      throw new CaptureError(
        "CAPTURE_INVALID",
        `${path} has no embeddings with the samples they are of; restore the file from where it was copied, or capture again`,
      );
    const of = readInto(fd, path, samples.offset, new Int32Array(count!));
    return Array.from(of, (sample, i): [number, Place] => [
      sample,
      { path, offset: values.offset + 4 * i * size!, size: size! },
    ]);
  });
}
