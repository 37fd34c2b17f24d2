import type { RowGroup, SchemaElement } from "hyparquet";
import type { ByteWriter, ParquetWriter } from "hyparquet-writer";
import { PHASES, type RowLabels } from "../core/rows.ts";
import { replaceFile, type WriteOptions } from "./atomic-file.ts";
import { openFile } from "./regular-file.ts";

export const ROWS_PARQUET = "rows.parquet";

const SCHEMA: SchemaElement[] = [
  { name: "root", num_children: 7 },
  { name: "row", type: "INT32", repetition_type: "REQUIRED" },
  { name: "sample", type: "INT32", repetition_type: "REQUIRED" },
  { name: "position", type: "INT32", repetition_type: "REQUIRED" },
  { name: "token_id", type: "INT32", repetition_type: "REQUIRED" },
  { name: "text", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
  { name: "phase", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
  { name: "label", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
];

/** Length of a parquet file's magic number `PAR1`, in bytes. */
const MAGIC_LENGTH = 4;

/** Rows in a row group: enough for its columns to compress, and their strings take a few megabytes. */
const GROUP_ROWS = 25_000;

/** Grow the file when it lacks as many rows as it has: all its copies together then have as many bytes as the last. */
const GROWTH = 1;

/**
 * `rows.parquet`: the rows' labels for pandas, DuckDB and the like, one row group or more a shard, `row` being the
 * row's number across the shards.
 *
 * Parquet keeps its index at the end, so a row group cannot just be appended: the file is copied up to its old index,
 * then come the new row groups and the new index, and the copy takes the file's place. Copying at every shard would
 * take time with the square of the rows; so the file doubles each time, and grows to its whole at the end. A run that is
 * killed leaves a whole table of its first rows, half of them or more; all labels are in the shards.
 *
 * moescope itself reads the labels from the shards: their columns are checked and read without decoding, while a
 * parquet decoder on a damaged file is a lot of code to trust.
 */
export class RowsParquet {
  readonly #path: string;
  readonly #text: (tokenId: number) => string;
  readonly #sampleLabel: (sample: number) => string | null;
  readonly #options: WriteOptions | undefined;
  #groups: RowGroup[] = [];
  #rows = 0;
  /** Where the row groups end and the index begins; 0: there is no file yet. */
  #end = 0;

  constructor(
    path: string,
    text: (tokenId: number) => string,
    sampleLabel: (sample: number) => string | null,
    options?: WriteOptions,
  ) {
    this.#path = path;
    this.#text = text;
    this.#sampleLabel = sampleLabel;
    this.#options = options;
  }

  /** Rows in the file. */
  get rows(): number {
    return this.#rows;
  }

  /** Whether the file should take up the rows it lacks, when there are `rows` in all. */
  isBehind(rows: number): boolean {
    return rows - this.#rows >= GROWTH * this.#rows;
  }

  /**
   * Add shards' rows; with none, the file is made with its columns only. Holds the labels of one shard in memory.
   *
   * @throws CaptureError `STORAGE_FAILED`; the file then is as before.
   */
  async append(shards: Iterable<RowLabels>): Promise<void> {
    const next = { groups: [...this.#groups], rows: this.#rows, end: this.#end };
    await replaceFile(this.#path, this.#contents(shards, next), this.#options);
    this.#groups = next.groups;
    this.#rows = next.rows;
    this.#end = next.end;
  }

  async *#contents(
    shards: Iterable<RowLabels>,
    next: { groups: RowGroup[]; rows: number; end: number },
  ): AsyncGenerator<Uint8Array> {
    // Loaded here: importing the library should be quick.
    const writers = await import("hyparquet-writer");
    // 1 MiB a chunk: few system calls, little memory.
    if (this.#end > 0)
      yield* (await openFile(this.#path)).createReadStream({
        end: this.#end - 1,
        highWaterMark: 2 ** 20,
      }) as AsyncIterable<Buffer>;
    for (const labels of shards)
      for (let from = 0; from < labels.sample.length; from += GROUP_ROWS) {
        const group = sliceLabels(labels, from, from + GROUP_ROWS);
        yield this.#encode(writers, next, (parquet) => this.#writeGroup(parquet, group, next));
      }
    yield this.#encode(writers, next, (parquet) => {
      parquet.finish();
    });
  }

  /** What a parquet writer makes of a part of the file, from `next.end` on; the magic number is the first part's. */
  #encode(
    { ByteWriter, ParquetWriter }: typeof import("hyparquet-writer"),
    next: { groups: RowGroup[]; rows: number; end: number },
    part: (parquet: ParquetWriter) => void,
  ): Uint8Array {
    const bytes = new ByteWriter();
    const parquet = new ParquetWriter({ writer: bytes, schema: SCHEMA, createdBy: "moescope" });
    parquet.row_groups = next.groups;
    parquet.num_rows = BigInt(next.rows);
    const first = next.end === 0;
    if (first) next.end = bytes.offset;
    bytes.offset = next.end;
    part(parquet);
    return first ? bytes.getBytes() : bytes.getBytes().subarray(MAGIC_LENGTH);
  }

  #writeGroup(
    parquet: ParquetWriter,
    labels: RowLabels,
    next: { groups: RowGroup[]; rows: number; end: number },
  ): void {
    const rows = labels.sample.length;
    const columnData = [
      { name: "row", data: Int32Array.from({ length: rows }, (_, i) => next.rows + i) },
      { name: "sample", data: labels.sample },
      { name: "position", data: labels.position },
      { name: "token_id", data: labels.tokenId },
      { name: "text", data: Array.from(labels.tokenId, this.#text) },
      { name: "phase", data: Array.from(labels.phase, (phase) => PHASES[phase]!) },
      { name: "label", data: Array.from(labels.sample, this.#sampleLabel) },
    ];
    parquet.write({
      columnData: columnData.map((column) => ({ ...column, offsetIndex: false })),
      rowGroupSize: GROUP_ROWS,
    });
    next.rows += rows;
    next.end = (parquet.writer as ByteWriter).offset;
  }
}

const sliceLabels = (
  { sample, position, tokenId, phase }: RowLabels,
  from: number,
  to: number,
): RowLabels => ({
  sample: sample.subarray(from, to),
  position: position.subarray(from, to),
  tokenId: tokenId.subarray(from, to),
  phase: phase.subarray(from, to),
});
