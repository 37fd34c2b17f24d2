import { mkdir, open, readdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Capture } from "../capture/capture.ts";
import type { RowBatch, RowLabels } from "../capture/rows.ts";
import type { RunEnd, RunHeader, Sink } from "../capture/sink.ts";
import { STREAMS, type StreamName } from "../capture/streams.ts";
import { CaptureError } from "../errors.ts";
import { replaceFile, storageError, type WriteBytes } from "./atomic-file.ts";
import { openCapture } from "./folder-source.ts";
import { FORMAT, formatManifest, MANIFEST_FILE, type Manifest, ROWS, storedStreams } from "./manifest.ts";
import { SampleProgress } from "./missing-rows.ts";
import { newManifest } from "./new-manifest.ts";
import { RowsParquet } from "./rows-parquet.ts";
import { safetensorsBytes, type TensorData } from "./safetensors.ts";
import { ShardBuffer } from "./shard-buffer.ts";
import { rowTensors } from "./shard-rows.ts";

export interface FolderOptions {
  /**
   * Bytes of all streams together in a shard: what is held in memory, and the most that is lost when the process is
   * killed. Default 64 MiB: little beside a model, and at the default streams of a model with 48 layers and 128
   * experts still 2500 rows, so that reading a layer takes reads of a megabyte, not of a row.
   */
  readonly shardBytes?: number;
  /** How streams of floats are stored. Default `float32`: bit for bit what the engine computed. */
  readonly dtype?: "float32" | "float16" | "bfloat16";
  /** SHA-256 of the model's file in hex, for the manifest. Default: not known. */
  readonly modelSha256?: string | null;
}

const DEFAULT_SHARD_BYTES = 64 * 2 ** 20;

/**
 * Streams a run into a capture folder, shard by shard; `close` opens it as a capture. At any moment the folder
 * opens with all finished shards; see {@link openCapture}.
 *
 * @throws CaptureError `CAPTURE_EXISTS` when the folder holds something, `STORAGE_FAILED` when it cannot be written:
 * the shards before are then kept.
 */
export class FolderSink implements Sink<Capture> {
  readonly #folder: string;
  readonly #options: FolderOptions;
  readonly #write: WriteBytes | undefined;
  readonly #rowsParquet: RowsParquet;
  #header!: RunHeader;
  #manifest!: Manifest;
  #progress!: SampleProgress;
  /** Made with the first batch, which tells the widths. */
  #buffer: ShardBuffer | null = null;
  /** Tokens whose text is in a shard already. */
  readonly #knownTokens = new Set<number>();
  /** What could not be written; nothing more is written after it. */
  #failure: unknown;

  /** @param write replaces the writing of bytes: for tests that fill the disk. */
  constructor(folder: string, options: FolderOptions = {}, write?: WriteBytes) {
    this.#folder = folder;
    this.#options = options;
    this.#write = write;
    this.#rowsParquet = new RowsParquet(join(folder, "rows.parquet"), write);
  }

  async open(header: RunHeader): Promise<void> {
    await claimFolder(this.#folder);
    this.#header = header;
    this.#manifest = newManifest(header, this.#options);
    this.#progress = new SampleProgress(header.samples);
    await this.#writeManifest();
  }

  async write(batch: RowBatch): Promise<void> {
    this.#progress.see(batch);
    if (this.#failure) throw this.#failure;
    if (batch.rows === 0) return;
    this.#buffer ??= this.#bufferFor(batch);
    for (let row = 0; row < batch.rows; ) {
      row += this.#buffer.append(batch, row);
      if (this.#buffer.rows === this.#buffer.capacity) await this.#flush(this.#buffer);
    }
  }

  async close({ finished, error }: RunEnd): Promise<Capture> {
    if (!this.#failure) await this.#flushRest().catch(() => {}); // it is in #failure
    this.#manifest.outputs = finished.map(({ tokens, ...rest }) => ({ ...rest, tokens: [...tokens] }));
    const failure = error ?? this.#failure;
    if (failure === undefined) this.#manifest.complete = true;
    else this.#manifest.missing = this.#progress.missing(finished, messageOf(failure));
    // On a full disk this fails as well; the manifest before it says `complete: false` already.
    const written = this.#writeManifest();
    await (this.#failure ? written.catch(() => {}) : written);
    // After an error of the run the caller has that one to report.
    if (this.#failure && error === undefined) throw this.#failure;
    return openCapture(this.#folder);
  }

  #bufferFor(batch: RowBatch): ShardBuffer {
    const columns = storedStreams(this.#manifest.streams).flatMap((stream) => {
      const { dtype, layers } = this.#manifest.streams[stream]!;
      return layers.map((layer) => {
        const width = (batch.streams.get(stream)?.get(layer)?.length ?? 0) / batch.rows;
        return { stream, layer, dtype, width };
      });
    });
    for (const [stream, entry] of Object.entries(this.#manifest.streams))
      entry.widths = columns.filter((column) => column.stream === stream).map(({ width }) => width);
    return new ShardBuffer(columns, this.#options.shardBytes ?? DEFAULT_SHARD_BYTES);
  }

  async #flushRest(): Promise<void> {
    if (this.#buffer?.rows) await this.#flush(this.#buffer);
    else if (this.#manifest.rows === 0) await this.#appendToParquet(NO_ROWS);
  }

  /** Write the buffer as a shard. The manifest comes last: a shard it does not name does not count. */
  async #flush(buffer: ShardBuffer): Promise<void> {
    const { labels, rows } = buffer;
    const tokens = this.#newTokens(labels.tokenId);
    const files: Record<string, string> = {};
    try {
      files[ROWS] = await this.#writeShard(ROWS, "rows", rowTensors({ labels, tokens }));
      for (const stream of storedStreams(this.#manifest.streams))
        files[stream] = await this.#writeShard(stream, axesOf(stream).join(","), buffer.tensors(stream));
      await this.#appendToParquet(labels);
      this.#manifest.shards.push({ firstRow: this.#manifest.rows, rows, files });
      this.#manifest.rows += rows;
      this.#progress.store(labels);
      for (const id of tokens.keys()) this.#knownTokens.add(id);
      buffer.clear();
      await this.#writeManifest();
    } catch (failure) {
      this.#failure = failure;
      throw failure;
    }
  }

  #newTokens(tokenIds: Int32Array): Map<number, string> {
    const tokens = new Map<number, string>();
    for (const id of tokenIds)
      if (!this.#knownTokens.has(id) && !tokens.has(id)) tokens.set(id, this.#header.tokenText(id));
    return tokens;
  }

  #appendToParquet(labels: RowLabels): Promise<void> {
    const { tokenText, samples } = this.#header;
    return this.#rowsParquet.append(labels, tokenText, (sample) => samples[sample]!.label);
  }

  async #writeShard(stream: string, axes: string, tensors: readonly TensorData[]): Promise<string> {
    const file = `${stream}-${String(this.#manifest.shards.length).padStart(5, "0")}.safetensors`;
    const bytes = safetensorsBytes(tensors, { format: FORMAT, stream, axes });
    await replaceFile(join(this.#folder, file), bytes, this.#write);
    return file;
  }

  async #writeManifest(): Promise<void> {
    // The names of the shards must be on the disk before the manifest that lists them.
    await syncFolder(this.#folder);
    const text = Buffer.from(formatManifest(this.#manifest));
    await replaceFile(join(this.#folder, MANIFEST_FILE), [text], this.#write);
  }
}

const NO_ROWS: RowLabels = {
  sample: new Int32Array(0),
  position: new Int32Array(0),
  tokenId: new Int32Array(0),
  phase: new Uint8Array(0),
};

const axesOf = (stream: StreamName) => ["rows", STREAMS[stream].axis];

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** Make the folder, or take one that is empty. */
async function claimFolder(folder: string): Promise<void> {
  const entries = await makeFolder(resolve(folder))
    .then(() => readdir(folder))
    .catch((cause) => {
      throw storageError(folder, cause);
    });
  if (entries.length === 0) return;
  const holds = entries.includes(MANIFEST_FILE) ? "already holds a capture" : "is not empty";
  throw new CaptureError(
    "CAPTURE_EXISTS",
    `${folder} ${holds}: name another folder, or remove this one first`,
  );
}

/** Like `mkdir -p`. Node's `recursive: true` goes on for ever where a parent exists but takes no entries (/proc). */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" && dirname(folder) !== folder) {
      await makeFolder(dirname(folder));
      await mkdir(folder);
    } else if (!(await isFolder(folder))) {
      if (code !== "EEXIST") throw cause;
      throw new CaptureError("CAPTURE_EXISTS", `${folder} is a file: name a folder to capture into`, {
        cause,
      });
    }
  }
}

const isFolder = (path: string) =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open a folder, and has its names on the disk without that.
  if (process.platform === "win32") return;
  try {
    const handle = await open(folder, "r");
    await handle.sync().finally(() => handle.close());
  } catch (cause) {
    throw storageError(folder, cause);
  }
}
