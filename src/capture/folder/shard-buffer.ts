import type { RowBatch, RowLabels } from "../../core/rows.ts";
import type { StreamName } from "../../core/streams.ts";
import type { TensorDataTypes, TensorType } from "../../core/tensor.ts";
import { toBfloat16, toFloat16 } from "../../formats/float-formats.ts";
import { layerTensor } from "../../formats/row-tensors.ts";
import { DTYPES, type Dtype, type DtypeArray, type TensorData } from "../../formats/safetensors.ts";

/** One tensor of a shard: a stream in a layer. */
export interface ColumnSpec {
  readonly stream: StreamName;
  readonly layer: number;
  readonly dtype: Dtype;
  /** Sizes of the axes behind `rows`. */
  readonly dims: readonly number[];
  /** Elements per row. */
  readonly width: number;
}

/** Bytes of a row's labels: sample, position and token id (4 each), phase (1). */
const LABEL_BYTES = 13;

/** A shard of more is no faster, and its buffer is taken at once. */
const MAX_SHARD_BYTES = 2 ** 30;

/**
 * The rows of the shard that is being filled, in the form they have on disk: what an engine hands over is copied,
 * so nothing keeps its memory. Columns have the shard's size from the start, which takes memory only as rows come (the
 * system gives pages when they are written to), and are used again for the next shard.
 */
export class ShardBuffer {
  /** Rows a shard takes: as many as fit in its bytes, at least one. */
  readonly capacity: number;
  readonly columns: readonly ColumnSpec[];
  /** By stream the finite values so far that float16 cannot hold and that are stored as infinite. */
  readonly saturated = new Map<StreamName, number>();
  #rows = 0;
  readonly #data: DtypeArray[];
  readonly #labels: RowLabels;

  constructor(columns: readonly ColumnSpec[], shardBytes: number) {
    const bytes = columns.reduce(
      (sum, { dtype, width }) => sum + width * DTYPES[dtype].BYTES_PER_ELEMENT,
      LABEL_BYTES,
    );
    this.capacity = Math.max(1, Math.floor(Math.min(shardBytes, MAX_SHARD_BYTES) / bytes));
    this.columns = columns;
    this.#data = columns.map(({ dtype, width }) => new DTYPES[dtype](this.capacity * width));
    this.#labels = {
      sample: new Int32Array(this.capacity),
      position: new Int32Array(this.capacity),
      tokenId: new Int32Array(this.capacity),
      phase: new Uint8Array(this.capacity),
    };
  }

  get rows(): number {
    return this.#rows;
  }

  /** The labels of the rows in the buffer, sharing its memory. */
  get labels(): RowLabels {
    const { sample, position, tokenId, phase } = this.#labels;
    return {
      sample: sample.subarray(0, this.#rows),
      position: position.subarray(0, this.#rows),
      tokenId: tokenId.subarray(0, this.#rows),
      phase: phase.subarray(0, this.#rows),
    };
  }

  /** One stream's layers as `[rows, ...]` tensors, sharing the buffer's memory. */
  tensors(stream: StreamName): TensorData[] {
    return this.columns.flatMap((column, i) =>
      column.stream !== stream
        ? []
        : {
            name: layerTensor(stream, column.layer),
            dtype: column.dtype,
            shape: [this.#rows, ...column.dims],
            data: this.#data[i]!.subarray(0, this.#rows * column.width),
          },
    );
  }

  /**
   * Copy rows of a batch from row `from` on, as many as there is room for.
   *
   * @returns how many that were.
   */
  append(batch: RowBatch, from: number): number {
    const count = Math.min(batch.rows - from, this.capacity - this.#rows);
    const to = from + count;
    for (const name of ["sample", "position", "tokenId", "phase"] as const)
      this.#labels[name].set(batch[name].subarray(from, to), this.#rows);
    this.columns.forEach(({ stream, layer, dtype, width }, i) => {
      const data = batch.streams.get(stream)?.get(layer);
      if (data?.length !== batch.rows * width)
        throw new RangeError(
          `${stream}.${layer}: ${data?.length} values, not ${batch.rows} rows of ${width}`,
        );
      const out = this.#data[i]!.subarray(this.#rows * width, (this.#rows + count) * width);
      const beyond = store(data.subarray(from * width, to * width), dtype, out);
      if (beyond > 0) this.saturated.set(stream, (this.saturated.get(stream) ?? 0) + beyond);
    });
    this.#rows = this.#rows + count;
    return count;
  }

  clear(): void {
    this.#rows = 0;
  }
}

/**
 * Put values into their place in a column, in the column's type.
 *
 * @returns how many of them the type cannot hold.
 */
function store(values: TensorDataTypes[TensorType], dtype: Dtype, out: DtypeArray): number {
  if (dtype === "F16") return toFloat16(values as Float32Array, out as Uint16Array);
  if (dtype === "BF16") toBfloat16(values as Float32Array, out as Uint16Array);
  else {
    // An id beyond 255 would come back as another expert.
    const beyond = dtype === "U8" ? values.find((id) => id > 0xff) : undefined;
    if (beyond !== undefined) throw new RangeError(`expert id ${beyond} of a model with at most 256 experts`);
    out.set(values);
  }
  return 0;
}
