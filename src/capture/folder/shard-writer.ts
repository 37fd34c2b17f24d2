import { rm } from "node:fs/promises";
import { join } from "node:path";
import { EngineError } from "../../core/errors.ts";
import { append } from "../../core/extremes.ts";
import type { Finished } from "../../core/request.ts";
import type { RowBatch, RowLabels } from "../../core/rows.ts";
import type { RunEnd, RunHeader } from "../../core/sink.ts";
import type { StreamName } from "../../core/streams.ts";
import type { WriteOptions } from "../../formats/atomic-file.ts";
import { ROWS_PARQUET, RowsParquet } from "../../formats/rows-parquet.ts";
import type { Capture } from "../capture.ts";
import { EmbeddingsWriter } from "./embeddings.ts";
import type { FolderLock } from "./folder-lock.ts";
import { joinLabels, readRowsOf } from "./folder-rows.ts";
import { captureIn } from "./folder-source.ts";
import { JOURNAL_FORMAT } from "./format.ts";
import { appendEntry, createJournal, JOURNAL_FILE, type JournalEntry } from "./journal.ts";
import { type Manifest, ROWS, type StreamEntry, storedStreams } from "./manifest-record.ts";
import { SampleProgress } from "./missing-rows.ts";
import { type OutputRecord, recordOfOutput } from "./output-record.ts";
import { ShardBuffer } from "./shard-buffer.ts";
import { nextShardNumber, syncFolder, writeManifest, writeShard } from "./shard-files.ts";
import { rowTensors } from "./shard-rows.ts";
import { streamFault } from "./stream-fault.ts";

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
  readonly options: WriteOptions;
}

/**
 * Adds a run's rows to a folder, shard by shard: a shard's files first, each whole or not there at all, then the line of
 * the journal that names them. At any moment the folder opens with all finished shards.
 */
export class ShardWriter {
  readonly #folder: string;
  readonly #lock: FolderLock;
  readonly #manifest: Manifest;
  readonly #shardBytes: number;
  readonly #tokens: Map<number, string>;
  readonly #outputs: readonly Finished[];
  readonly #options: WriteOptions;
  readonly #tokenText: (tokenId: number) => string;
  readonly #progress: SampleProgress;
  readonly #rowsParquet: RowsParquet;
  /** Of each shard, so that nothing that was written is read back; 13 bytes a row, which the capture takes in the end. */
  readonly #labels: RowLabels[] = [];
  /** Shards whose rows are in `rows.parquet`. */
  #inParquet = 0;
  /** Files of embeddings that the manifest or the journal names. */
  #namedEmbeddings: number;
  #nextNumber: number;
  /** Made with the first batch, which tells the widths. */
  #buffer: ShardBuffer | null = null;
  readonly #embeddings: EmbeddingsWriter;
  /** Samples that ended since the last shard. */
  #ended: OutputRecord[] = [];
  /** What could not be written; nothing more is written after it. */
  #failure: unknown;

  constructor(open: OpenFolder, { tokenText, samples }: Pick<RunHeader, "tokenText" | "samples">) {
    const { folder, options, manifest } = open;
    this.#folder = folder;
    this.#lock = open.lock;
    this.#manifest = manifest;
    this.#shardBytes = open.shardBytes;
    this.#tokens = new Map(open.tokens);
    this.#outputs = open.outputs;
    this.#options = options;
    this.#tokenText = tokenText;
    this.#progress = new SampleProgress(samples);
    this.#nextNumber = nextShardNumber(manifest.shards);
    this.#embeddings = new EmbeddingsWriter(folder, manifest.embeddings, options);
    this.#namedEmbeddings = manifest.embeddings?.files.length ?? 0;
    this.#rowsParquet = new RowsParquet(
      join(folder, ROWS_PARQUET),
      (id) => this.#tokens.get(id)!,
      (sample) => samples[sample]!.label,
      options,
    );
  }

  /** Write the manifest, with a journal to go on in, and what rows there are to `rows.parquet`. */
  async begin(): Promise<void> {
    const manifest = this.#manifest;
    for (const shard of manifest.shards) {
      const { labels } = readRowsOf(this.#folder, manifest, shard);
      this.#progress.see(labels);
      this.#progress.store(labels);
      this.#labels.push(labels);
    }
    await createJournal(this.#folder, this.#options);
    await writeManifest(this.#folder, { ...manifest, format: JOURNAL_FORMAT }, this.#options);
    if (manifest.shards.length > 0) await this.#growParquet();
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

  async close({ finished, error, dropped = 0 }: RunEnd): Promise<Capture> {
    try {
      if (!this.#failure) await this.#flushRest().catch(() => {}); // it is in #failure
      const ended = [...this.#outputs, ...finished].sort((a, b) => a.sample - b.sample);
      this.#manifest.outputs = ended.map(recordOfOutput);
      if (dropped > 0) this.#manifest.dropped = dropped;
      const failure = error ?? this.#failure;
      for (const [stream, values] of this.#buffer?.saturated ?? []) {
        const entry = this.#manifest.streams[stream]!;
        entry.saturated = (entry.saturated ?? 0) + values;
      }
      if (failure === undefined) this.#manifest.complete = true;
      else this.#manifest.missing = this.#progress.missing(ended, messageOf(failure));
      // On a full disk this fails as well; the manifest before it says `complete: false` already.
      const written = this.#endJournal();
      await (this.#failure ? written.catch(() => {}) : written);
    } finally {
      // Its memory is not needed beside that of the capture that is opened below.
      this.#buffer = null;
      await this.#lock.release();
    }
    // After an error of the run the caller has that one to report.
    if (this.#failure && error === undefined) throw this.#failure;
    const { shards } = this.#manifest;
    // Without those of a shard that could not be written.
    const labels = joinLabels(this.#labels.slice(0, shards.length));
    const rows = { labels, tokens: this.#tokens, outputs: [] };
    return captureIn(this.#folder, this.#manifest, rows);
  }

  /** Write the manifest that holds all of the journal. */
  async #endJournal(): Promise<void> {
    await writeManifest(this.#folder, this.#manifest, this.#options);
    // One that stays does no harm: no manifest says that there is one.
    await rm(join(this.#folder, JOURNAL_FILE), { force: true }).catch(() => {});
  }

  #bufferFor(batch: RowBatch): ShardBuffer {
    const columns = storedStreams(this.#manifest.streams).flatMap((stream) => {
      const { dtype, layers, widths, dims } = this.#manifest.streams[stream]!;
      return layers.map((layer, i) => {
        const width = widths?.[i] ?? (batch.streams.get(stream)?.get(layer)?.length ?? 0) / batch.rows;
        return { stream, layer, dtype, width, dims: dims?.[i] ?? [width] };
      });
    });
    for (const [stream, entry] of Object.entries(this.#manifest.streams) as [StreamName, StreamEntry][]) {
      entry.widths = columns.filter((column) => column.stream === stream).map(({ width }) => width);
      // A folder that nobody could open would be written else.
      const fault = streamFault(this.#manifest.model, stream, entry, batch.rows);
      if (fault) throw new EngineError("ENGINE_FAILED", `the engine's rows are no ${stream}: ${fault}`);
    }
    return new ShardBuffer(columns, this.#shardBytes);
  }

  async #flushRest(): Promise<void> {
    if (this.#buffer?.rows) await this.#flush(this.#buffer);
    await this.#guard(() => this.#embeddings.flush());
    const whole = this.#manifest.rows > 0 && this.#rowsParquet.rows === this.#manifest.rows;
    if (!whole) await this.#guard(() => this.#growParquet());
  }

  /** Write the buffer as a shard. The journal comes last: a shard it does not name does not count. */
  #flush(buffer: ShardBuffer): Promise<void> {
    return this.#guard(async () => {
      const manifest = this.#manifest;
      const { labels, rows } = buffer;
      // A sample that the journal says has ended must have its embedding.
      await this.#embeddings.flush();
      const tokens = this.#newTokens(labels.tokenId);
      const tensors = new Map([[ROWS, rowTensors({ labels, tokens, outputs: [] })]]);
      for (const stream of storedStreams(manifest.streams)) tensors.set(stream, buffer.tensors(stream));
      const files = await writeShard(this.#folder, this.#nextNumber++, tensors, this.#options);
      // The names of the files must be on the disk before the line that lists them.
      await syncFolder(this.#folder);
      const entry: JournalEntry = {
        shard: { firstRow: manifest.rows, rows, files },
        ...(manifest.rows === 0 && { widths: widthsOf(manifest) }),
        outputs: this.#ended,
        embeddings: manifest.embeddings?.files.slice(this.#namedEmbeddings) ?? [],
      };
      for (const [id, text] of tokens) this.#tokens.set(id, text);
      // A copy: the buffer is used again.
      this.#labels.push(joinLabels([labels]));
      if (this.#rowsParquet.isBehind(manifest.rows + rows)) await this.#growParquet();
      await appendEntry(this.#folder, entry, this.#options);
      manifest.shards.push(entry.shard);
      manifest.rows += rows;
      this.#namedEmbeddings += entry.embeddings.length;
      this.#progress.store(labels);
      this.#ended = [];
      buffer.clear();
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
    await this.#rowsParquet.append(this.#labels.slice(this.#inParquet));
    this.#inParquet = this.#labels.length;
  }
}

/** Values of a row by stream and layer. */
const widthsOf = ({ streams }: Manifest): Record<string, number[]> =>
  Object.fromEntries(Object.entries(streams).map(([name, entry]) => [name, entry!.widths!]));

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
