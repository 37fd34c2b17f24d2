import { join } from "node:path";
import { append } from "../../core/extremes.ts";
import type { Finished } from "../../core/request.ts";
import type { RowBatch } from "../../core/rows.ts";
import type { RunEnd, RunHeader } from "../../core/sink.ts";
import type { StreamName } from "../../core/streams.ts";
import type { WriteBytes } from "../../formats/atomic-file.ts";
import { ROWS_PARQUET, RowsParquet } from "../../formats/rows-parquet.ts";
import type { Capture } from "../capture.ts";
import { EmbeddingsWriter } from "./embeddings.ts";
import type { FolderLock } from "./folder-lock.ts";
import { readRowsOf } from "./folder-rows.ts";
import { captureIn } from "./folder-source.ts";
import { type Manifest, ROWS, type StreamEntry, storedStreams } from "./manifest.ts";
import { SampleProgress } from "./missing-rows.ts";
import { type OutputRecord, recordOfOutput } from "./output-record.ts";
import { ShardBuffer } from "./shard-buffer.ts";
import { nextShardNumber, writeManifest, writeShard } from "./shard-files.ts";
import { rowTensors } from "./shard-rows.ts";

/** A folder that is to be written to: this run's, until the lock is released. */
export interface OpenFolder {
  readonly folder: string;
  readonly lock: FolderLock;
  readonly manifest: Manifest;
  readonly shardBytes: number;
  /** The text of tokens that are in its shards. */
  readonly tokens: ReadonlyMap<number, string>;
  /** The ends of samples that an earlier run brought. */
  readonly outputs: readonly Finished[];
  /** For tests that fill the disk. */
  readonly write: WriteBytes | undefined;
}

/**
 * Adds a run's rows to a folder, shard by shard: a shard's files first, the manifest that names them last, each
 * whole or not there at all. At any moment the folder opens with all finished shards.
 */
export class ShardWriter {
  readonly #folder: string;
  readonly #lock: FolderLock;
  readonly #manifest: Manifest;
  readonly #shardBytes: number;
  readonly #tokens: Map<number, string>;
  readonly #outputs: readonly Finished[];
  readonly #write: WriteBytes | undefined;
  readonly #tokenText: (tokenId: number) => string;
  readonly #progress: SampleProgress;
  readonly #rowsParquet: RowsParquet;
  /** Shards whose rows are in `rows.parquet`. */
  #inParquet = 0;
  #nextNumber: number;
  /** Made with the first batch, which tells the widths. */
  #buffer: ShardBuffer | null = null;
  readonly #embeddings: EmbeddingsWriter;
  /** Samples that ended since the last shard. */
  #ended: OutputRecord[] = [];
  /** What could not be written; nothing more is written after it. */
  #failure: unknown;

  constructor(open: OpenFolder, { tokenText, samples }: Pick<RunHeader, "tokenText" | "samples">) {
    const { folder, write, manifest } = open;
    this.#folder = folder;
    this.#lock = open.lock;
    this.#manifest = manifest;
    this.#shardBytes = open.shardBytes;
    this.#tokens = new Map(open.tokens);
    this.#outputs = open.outputs;
    this.#write = write;
    this.#tokenText = tokenText;
    this.#progress = new SampleProgress(samples);
    this.#nextNumber = nextShardNumber(manifest.shards);
    this.#embeddings = new EmbeddingsWriter(folder, manifest.embeddings, write);
    this.#rowsParquet = new RowsParquet(
      join(folder, ROWS_PARQUET),
      (id) => this.#tokens.get(id)!,
      (sample) => samples[sample]!.label,
      write,
    );
  }

  /** Write the manifest, and what rows there are to `rows.parquet`. */
  async begin(): Promise<void> {
    for (const shard of this.#manifest.shards) {
      const { labels } = readRowsOf(this.#folder, this.#manifest, shard);
      this.#progress.see(labels);
      this.#progress.store(labels);
    }
    await writeManifest(this.#folder, this.#manifest, this.#write);
    if (this.#manifest.shards.length > 0) await this.#growParquet();
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

  async finish(samples: readonly Finished[]): Promise<void> {
    append(this.#ended, samples.map(recordOfOutput));
    this.#embeddings.add(samples);
    // Samples may have few rows or none: their embeddings must not pile up until a shard is full.
    if (this.#embeddings.bytes > this.#shardBytes && !this.#failure)
      await this.#guard(() => this.#embeddings.flush());
  }

  async close({ finished, error }: RunEnd): Promise<Capture> {
    try {
      if (!this.#failure) await this.#flushRest().catch(() => {}); // it is in #failure
      const ended = [...this.#outputs, ...finished].sort((a, b) => a.sample - b.sample);
      this.#manifest.outputs = ended.map(recordOfOutput);
      const failure = error ?? this.#failure;
      if (failure === undefined) this.#manifest.complete = true;
      else this.#manifest.missing = this.#progress.missing(ended, messageOf(failure));
      // On a full disk this fails as well; the manifest before it says `complete: false` already.
      const written = writeManifest(this.#folder, this.#manifest, this.#write);
      await (this.#failure ? written.catch(() => {}) : written);
    } finally {
      // Its memory is not needed beside that of the capture that is opened below.
      this.#buffer = null;
      await this.#lock.release();
    }
    // After an error of the run the caller has that one to report.
    if (this.#failure && error === undefined) throw this.#failure;
    return captureIn(this.#folder, this.#manifest);
  }

  #bufferFor(batch: RowBatch): ShardBuffer {
    const columns = storedStreams(this.#manifest.streams).flatMap((stream) => {
      const { dtype, layers, widths, dims } = this.#manifest.streams[stream]!;
      return layers.map((layer, i) => {
        const width = widths?.[i] ?? (batch.streams.get(stream)?.get(layer)?.length ?? 0) / batch.rows;
        return { stream, layer, dtype, width, dims: dims?.[i] ?? [width] };
      });
    });
    for (const [stream, entry] of Object.entries(this.#manifest.streams) as [StreamName, StreamEntry][])
      entry.widths = columns.filter((column) => column.stream === stream).map(({ width }) => width);
    return new ShardBuffer(columns, this.#shardBytes);
  }

  async #flushRest(): Promise<void> {
    if (this.#buffer?.rows) await this.#flush(this.#buffer);
    await this.#guard(() => this.#embeddings.flush());
    const whole = this.#manifest.rows > 0 && this.#rowsParquet.rows === this.#manifest.rows;
    if (!whole) await this.#guard(() => this.#growParquet());
  }

  /** Write the buffer as a shard. The manifest comes last: a shard it does not name does not count. */
  #flush(buffer: ShardBuffer): Promise<void> {
    return this.#guard(async () => {
      const { labels, rows } = buffer;
      // A sample that the shard says has ended must have its embedding.
      await this.#embeddings.flush();
      const tokens = this.#newTokens(labels.tokenId);
      const tensors = new Map([[ROWS, rowTensors({ labels, tokens, outputs: this.#ended })]]);
      for (const stream of storedStreams(this.#manifest.streams)) tensors.set(stream, buffer.tensors(stream));
      const files = await writeShard(this.#folder, this.#nextNumber++, tensors, this.#write);
      for (const [id, text] of tokens) this.#tokens.set(id, text);
      this.#manifest.shards.push({ firstRow: this.#manifest.rows, rows, files });
      this.#manifest.rows += rows;
      this.#progress.store(labels);
      this.#ended = [];
      if (this.#rowsParquet.isBehind(this.#manifest.rows)) await this.#growParquet();
      buffer.clear();
      await writeManifest(this.#folder, this.#manifest, this.#write);
    });
  }

  /** A failed write is the run's last. */
  async #guard(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (failure) {
      this.#failure = failure;
      throw failure;
    }
  }

  #newTokens(tokenIds: Int32Array): Map<number, string> {
    const tokens = new Map<number, string>();
    for (const id of tokenIds)
      if (!this.#tokens.has(id) && !tokens.has(id)) tokens.set(id, this.#tokenText(id));
    return tokens;
  }

  async #growParquet(): Promise<void> {
    const manifest = this.#manifest;
    const lacking = manifest.shards.slice(this.#inParquet);
    const folder = this.#folder;
    const labels = function* () {
      for (const shard of lacking) yield readRowsOf(folder, manifest, shard).labels;
    };
    await this.#rowsParquet.append(labels());
    this.#inParquet = manifest.shards.length;
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
