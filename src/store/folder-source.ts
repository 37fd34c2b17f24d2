import { join, resolve } from "node:path";
import { Capture, type CaptureSource } from "../capture/capture.ts";
import type { RowLabels } from "../capture/rows.ts";
import type { StreamName } from "../capture/streams.ts";
import type { TensorDataTypes, TensorType } from "../capture/tensor.ts";
import { CaptureError } from "../errors.ts";
import { withEmbeddings } from "./embeddings.ts";
import { fromBfloat16, fromFloat16 } from "./float-formats.ts";
import { type FolderRows, readFolderRows } from "./folder-rows.ts";
import { type Manifest, readManifest, rowDims, storedStreams } from "./manifest.ts";
import { mergeOutputs } from "./output-record.ts";
import { DTYPES, type Dtype, type DtypeArray, readHeader, readInto, withFile } from "./safetensors.ts";
import { inOrder, type StoredOrder, storedOrder } from "./stored-order.ts";

type Data = TensorDataTypes[TensorType];

/** A shard's file of one stream, checked. */
interface StreamShard {
  readonly path: string;
  readonly firstRow: number;
  readonly rows: number;
  /** By index of the layer in the manifest, where its tensor begins, in bytes. */
  readonly offsets: Float64Array;
}

/**
 * Open a capture folder, complete or not. Every file is checked and the labels are read; values are read from the
 * disk when they are asked for.
 *
 * @throws CaptureError `CAPTURE_INVALID`, naming the file that is missing, truncated or wrong.
 */
export async function openCapture(folder: string): Promise<Capture> {
  return captureIn(folder, await readManifest(folder));
}

/** {@link openCapture} for whoever has the manifest. */
export function captureIn(folder: string, manifest: Manifest): Capture {
  const rows = readFolderRows(folder, manifest);
  const shards = new Map(
    storedStreams(manifest.streams).map((name) => [name, checkShards(folder, manifest, name)]),
  );
  return new Capture(new FolderSource(folder, manifest, rows, shards));
}

class FolderSource implements CaptureSource {
  readonly header: CaptureSource["header"];
  readonly labels: RowLabels;
  readonly finished: CaptureSource["finished"];
  readonly complete: boolean;
  readonly missing: CaptureSource["missing"];
  readonly origin: CaptureSource["origin"];
  readonly streams: CaptureSource["streams"];
  readonly tokenText: CaptureSource["tokenText"];
  readonly #entries: Manifest["streams"];
  readonly #shards: ReadonlyMap<StreamName, readonly StreamShard[]>;
  readonly #order: StoredOrder | null;

  constructor(
    folder: string,
    manifest: Manifest,
    { labels, tokens, outputs }: FolderRows,
    shards: ReadonlyMap<StreamName, readonly StreamShard[]>,
  ) {
    const { engine, model, samples, streams, complete, missing, embeddings } = manifest;
    this.complete = complete;
    this.missing = missing;
    this.origin = { folder: resolve(folder), samples: null };
    const embedding = embeddings && { pooling: embeddings.pooling, normalize: embeddings.normalize };
    this.header = {
      engine: { kind: engine.name, version: engine.version },
      model,
      samples,
      ...(embedding && { embedding }),
    };
    this.finished = withEmbeddings(mergeOutputs(outputs, manifest.outputs), folder, embeddings);
    const names = Object.keys(streams) as StreamName[];
    this.streams = names.map((name) => ({ name, layers: streams[name]!.layers }));
    this.tokenText = (id) => tokens.get(id) ?? `<token ${id}>`;
    this.#entries = streams;
    this.#shards = shards;
    this.#order = storedOrder(labels, samples.length);
    this.labels = {
      sample: inOrder(labels.sample, this.#order),
      position: inOrder(labels.position, this.#order),
      tokenId: inOrder(labels.tokenId, this.#order),
      phase: inOrder(labels.phase, this.#order),
    };
  }

  dims(stream: StreamName, layer: number): readonly number[] {
    const entry = this.#entries[stream]!;
    return rowDims(entry, entry.layers.indexOf(layer));
  }

  read(stream: StreamName, layer: number, from: number, to: number): Data {
    const { dtype, layers, widths } = this.#entries[stream]!;
    const index = layers.indexOf(layer);
    const width = widths?.[index] ?? 0;
    const stored: StoredLayer = { shards: this.#shards.get(stream)!, index, dtype, width };
    const out = new DTYPES[dtype]((to - from) * width);
    if (this.#order) gather(stored, this.#order, from, to, out);
    else concat(stored, from, to, out);
    return inMemory(out, dtype);
  }
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

/** Check that every shard of a stream has the tensors the manifest says. */
function checkShards(folder: string, { shards, streams }: Manifest, name: StreamName): StreamShard[] {
  const entry = streams[name]!;
  const { dtype, layers } = entry;
  return shards.map(({ files, firstRow, rows }) => {
    const path = join(folder, files[name]!);
    const { tensors } = withFile(path, (fd) => readHeader(fd, path));
    const offsets = Float64Array.from(layers, (layer, i) => {
      const shape = [rows, ...rowDims(entry, i)].join();
      const stored = tensors.get(`${name}.${layer}`);
      if (stored?.dtype !== dtype || stored.shape.join() !== shape) {
        const axes = entry.axes.map((axis) => `"${axis}"`).join(", ");
        throw new CaptureError(
          "CAPTURE_INVALID",
          `${path} has ${stored ? `${stored.dtype} [${stored.shape}]` : "nothing"} as "${name}.${layer}" where the ` +
            `manifest says ${dtype} [${shape}] (${axes}); restore both files from the same capture`,
        );
      }
      return stored.offset;
    });
    return { path, firstRow, rows, offsets };
  });
}
