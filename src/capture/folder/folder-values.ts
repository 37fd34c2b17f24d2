import type { StreamName } from "../../core/streams.ts";
import type { TensorDataTypes, TensorType } from "../../core/tensor.ts";
import { fromBfloat16, fromFloat16 } from "../../formats/float-formats.ts";
import { DTYPES, type Dtype, type DtypeArray, readInto, withFile } from "../../formats/safetensors.ts";
import { type Manifest, rowDims } from "./manifest-record.ts";
import type { StoredOrder } from "./stored-order.ts";

type Data = TensorDataTypes[TensorType];

/** A shard's file of one stream, checked. */
export interface StreamShard {
  readonly path: string;
  readonly firstRow: number;
  readonly rows: number;
  /** By index of the layer in the manifest, where its tensor begins, in bytes. */
  readonly offsets: Float64Array;
}

/** What a thread needs to read the values of a folder that another has opened and checked. Plain data. */
export interface FolderValues {
  readonly streams: Manifest["streams"];
  readonly shards: ReadonlyMap<StreamName, readonly StreamShard[]>;
  readonly order: StoredOrder | null;
}

/** The files that hold the values. */
export const filesOf = ({ shards }: FolderValues): string[] => [
  ...new Set([...shards.values()].flatMap((of) => of.map(({ path }) => path))),
];

/** Sizes of the axes behind `rows` in a layer. */
export function folderDims({ streams }: FolderValues, stream: StreamName, layer: number): readonly number[] {
  const entry = streams[stream]!;
  return rowDims(entry, entry.layers.indexOf(layer));
}

/** Rows `[from, to)` of one layer by sample and position, row-major. */
export function readFolder(
  { streams, shards, order }: FolderValues,
  stream: StreamName,
  layer: number,
  from: number,
  to: number,
): Data {
  const { dtype, layers, widths } = streams[stream]!;
  const index = layers.indexOf(layer);
  const width = widths?.[index] ?? 0;
  const stored: StoredLayer = { shards: shards.get(stream)!, index, dtype, width };
  const out = new DTYPES[dtype]((to - from) * width);
  if (order) gather(stored, order, from, to, out);
  else concat(stored, from, to, out);
  return inMemory(out, dtype);
}

/** One layer of a stream in all shards. */
interface StoredLayer {
  readonly shards: readonly StreamShard[];
  /** Index of the layer in {@link StreamShard.offsets}. */
  readonly index: number;
  readonly dtype: Dtype;
  readonly width: number;
}

/** Fill `out` with a shard's rows from the folder's row `first` on. */
function readRows({ index, width }: StoredLayer, shard: StreamShard, first: number, out: DtypeArray): void {
  const begin = shard.offsets[index]! + (first - shard.firstRow) * width * out.BYTES_PER_ELEMENT;
  withFile(shard.path, (fd) => readInto(fd, shard.path, begin, out));
}

/** Rows `[from, to)` that are stored in the order they are wanted in. */
function concat(layer: StoredLayer, from: number, to: number, out: DtypeArray): void {
  for (const shard of layer.shards) {
    const first = Math.max(from, shard.firstRow);
    const end = Math.min(to, shard.firstRow + shard.rows);
    if (first < end)
      readRows(layer, shard, first, out.subarray((first - from) * layer.width, (end - from) * layer.width));
  }
}

/**
 * Rows `[from, to)` that are stored in another order. Of each shard the span that holds the wanted rows is read at
 * once, then they are picked: rows that are wanted together were computed at about the same time, so little is read
 * in vain, and never more than a shard at a time.
 */
function gather(
  layer: StoredLayer,
  { stored, sorted }: StoredOrder,
  from: number,
  to: number,
  out: DtypeArray,
): void {
  const { shards, dtype, width } = layer;
  const spans = new Map<number, [first: number, last: number]>();
  let at = 0;
  for (let place = from; place < to; place++) {
    const row = stored[place]!;
    while (row < shards[at]!.firstRow) at--;
    while (row >= shards[at]!.firstRow + shards[at]!.rows) at++;
    const span = spans.get(at);
    if (!span) spans.set(at, [row, row]);
    else if (row < span[0]) span[0] = row;
    else if (row > span[1]) span[1] = row;
  }
  for (const [index, [first, last]] of spans) {
    const data = new DTYPES[dtype]((last - first + 1) * width);
    readRows(layer, shards[index]!, first, data);
    for (let row = first; row <= last; row++) {
      const place = sorted[row]!;
      if (place < from || place >= to) continue;
      const start = (row - first) * width;
      out.set(data.subarray(start, start + width), (place - from) * width);
    }
  }
}

/** From the element type on disk to the one a capture has in memory. */
function inMemory(data: DtypeArray, dtype: Dtype): Data {
  if (dtype === "F16") return fromFloat16(data as Uint16Array);
  if (dtype === "BF16") return fromBfloat16(data as Uint16Array);
  if (dtype === "U8") return Uint16Array.from(data);
  return data as Data;
}
