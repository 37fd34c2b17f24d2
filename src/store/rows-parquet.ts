import { createReadStream } from "node:fs";
import type { RowGroup, SchemaElement } from "hyparquet";
import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import { PHASES, type RowLabels } from "../capture/rows.ts";
import { replaceFile, type WriteBytes } from "./atomic-file.ts";

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

/**
 * `rows.parquet`: the rows' labels for pandas, DuckDB and the like, one row group or more a shard, `row` being the
 * row's number across the shards.
 *
 * The file is whole after every shard, so a run that is killed leaves a table of all its finished shards. Parquet
 * keeps its index at the end, so a row group cannot just be appended: the file is copied up to its old index, then
 * come the new row group and the new index, and the copy takes the file's place. The copies are cheap, as labels
 * take about a thousandth of the bytes of the values beside them, and memory holds one shard's labels and the index.
 *
 * moescope itself reads the labels from the shards: their columns are checked and read without decoding, while a
 * parquet decoder on a damaged file is a lot of code to trust.
 */
export class RowsParquet {
  readonly #path: string;
  readonly #write: WriteBytes | undefined;
  #groups: RowGroup[] = [];
  #rows = 0;
  /** Where the row groups end and the index begins; 0: there is no file yet. */
  #end = 0;

  constructor(path: string, write?: WriteBytes) {
    this.#path = path;
    this.#write = write;
  }

  /**
   * Add a shard's rows; with none, the file is made with its columns only.
   *
   * @throws CaptureError `STORAGE_FAILED`; the file then is as before.
   */
  async append(
    labels: RowLabels,
    text: (tokenId: number) => string,
    sampleLabel: (sample: number) => string | null,
  ): Promise<void> {
    const bytes = new ByteWriter();
    const parquet = new ParquetWriter({ writer: bytes, schema: SCHEMA, createdBy: "moescope" });
    parquet.row_groups = [...this.#groups];
    parquet.num_rows = BigInt(this.#rows);
    // The writer has put a magic number at the start; in a file that has one it is overwritten below.
    if (this.#end > 0) bytes.offset = this.#end;
    const rows = labels.sample.length;
    const columnData = [
      { name: "row", data: Int32Array.from({ length: rows }, (_, i) => this.#rows + i) },
      { name: "sample", data: labels.sample },
      { name: "position", data: labels.position },
      { name: "token_id", data: labels.tokenId },
      { name: "text", data: Array.from(labels.tokenId, text) },
      { name: "phase", data: Array.from(labels.phase, (phase) => PHASES[phase]!) },
      { name: "label", data: Array.from(labels.sample, sampleLabel) },
    ];
    // 100,000 rows a group: what hyparquet-writer and its readers are tuned for.
    parquet.write({
      columnData: columnData.map((column) => ({ ...column, offsetIndex: false })),
      rowGroupSize: 100_000,
    });
    const end = bytes.offset;
    parquet.finish();
    const added = this.#end > 0 ? bytes.getBytes().subarray(MAGIC_LENGTH) : bytes.getBytes();
    await replaceFile(this.#path, this.#followedBy(added), this.#write);
    this.#groups = parquet.row_groups;
    this.#rows += rows;
    this.#end = end;
  }

  async *#followedBy(added: Uint8Array): AsyncGenerator<Uint8Array> {
    // 1 MiB a chunk: few system calls, little memory.
    if (this.#end > 0)
      yield* createReadStream(this.#path, {
        end: this.#end - 1,
        highWaterMark: 2 ** 20,
      }) as AsyncIterable<Buffer>;
    yield added;
  }
}
