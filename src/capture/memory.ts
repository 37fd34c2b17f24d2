import { availableMemory } from "../core/available-memory.ts";
import { describedDims, type Reduction } from "../core/plan.ts";
import type { Finished } from "../core/request.ts";
import type { RowBatch, RowLabels } from "../core/rows.ts";
import type { RunEnd, RunHeader, Sink } from "../core/sink.ts";
import { type StreamName, streamSpec } from "../core/streams.ts";
import { TENSOR_ARRAYS, type TensorDataTypes, type TensorType } from "../core/tensor.ts";
import { Capture } from "./capture.ts";
import { assertFits, captureSize } from "./capture-size.ts";
import type { CaptureSource } from "./source.ts";

type Data = TensorDataTypes[TensorType];

/** At the end rows are put in order: for that long they are there twice. */
const COPIES = 2;

/**
 * Keeps every row; `close` gives the capture.
 *
 * @throws RequestError `CAPTURE_TOO_LARGE` on opening, for a run whose rows cannot fit.
 */
export class MemorySink implements Sink<Capture> {
  #header!: RunHeader;
  readonly #batches: RowBatch[] = [];
  readonly #embeddings = new Map<number, Float32Array>();

  open(header: RunHeader): void {
    const size = captureSize(header, (name) => TENSOR_ARRAYS[streamSpec(name).type].BYTES_PER_ELEMENT);
    const instead = "stream it to a folder with into";
    assertFits(size, { where: "of memory", bytes: availableMemory(), instead }, COPIES);
    this.#header = header;
  }

  write(batch: RowBatch): void {
    this.#batches.push(batch);
  }

  finish(samples: readonly Finished[]): void {
    for (const { sample, embedding } of samples) if (embedding) this.#embeddings.set(sample, embedding);
  }

  close(end: RunEnd): Capture {
    const { streams, tokenText, ...header } = this.#header;
    const order = sortedOrder(this.#batches);
    const values = new Map<StreamName, Map<number, Data>>();
    for (const { name, layers } of streams)
      values.set(name, new Map(layers.map((layer) => [layer, gather(this.#batches, order, name, layer)])));
    const labels = sortedLabels(this.#batches, order);
    const finished = end.finished.map((output) => {
      const embedding = this.#embeddings.get(output.sample);
      return embedding ? { ...output, embedding } : output;
    });
    return Capture.of(new MemorySource(header, labels, finished, streams, tokenText, values, end.dropped));
  }
}

class MemorySource implements CaptureSource {
  readonly header: CaptureSource["header"];
  readonly labels: RowLabels;
  readonly finished: CaptureSource["finished"];
  // An incomplete run rejects: there is no such capture in memory.
  readonly complete = true;
  readonly missing = [];
  readonly dropped: number;
  readonly reduce: Reduction;
  readonly origin = null;
  readonly streams: RunHeader["streams"];
  readonly tokenText: CaptureSource["tokenText"];
  readonly #values: ReadonlyMap<StreamName, ReadonlyMap<number, Data>>;

  constructor(
    header: CaptureSource["header"],
    labels: RowLabels,
    finished: CaptureSource["finished"],
    streams: RunHeader["streams"],
    tokenText: CaptureSource["tokenText"],
    values: ReadonlyMap<StreamName, ReadonlyMap<number, Data>>,
    dropped = 0,
  ) {
    this.header = header;
    this.dropped = dropped;
    this.reduce = header.request?.reduce ?? "all";
    this.labels = labels;
    this.finished = finished;
    this.streams = streams;
    this.tokenText = tokenText;
    this.#values = values;
  }

  read(stream: StreamName, layer: number, from: number, to: number): Data {
    const data = this.#values.get(stream)!.get(layer)!;
    const width = this.#width(data);
    return data.subarray(from * width, to * width);
  }

  dims(stream: StreamName, layer: number): readonly number[] {
    const { layers, dims } = this.streams.find(({ name }) => name === stream)!;
    const own = dims?.[layers.indexOf(layer)];
    if (own) return own;
    // No row tells how wide a row is.
    if (this.labels.sample.length === 0) return describedDims(this.header.model, stream, layer);
    return [this.#width(this.#values.get(stream)!.get(layer)!)];
  }

  promptTokens(sample: number): Int32Array | null {
    return this.header.request?.prompts[sample] ?? null;
  }

  #width(data: Data): number {
    const rows = this.labels.sample.length;
    return rows === 0 ? 0 : data.length / rows;
  }
}

/** Where each row goes: `order[i]` is the i-th row's place, rows counted through the batches in turn. */
function sortedOrder(batches: readonly RowBatch[]): Uint32Array {
  const rows = batches.reduce((sum, batch) => sum + batch.rows, 0);
  const sample = concat(batches, rows, "sample", Int32Array);
  const position = concat(batches, rows, "position", Int32Array);
  const byLabel = Uint32Array.from({ length: rows }, (_, i) => i).sort(
    (a, b) => sample[a]! - sample[b]! || position[a]! - position[b]!,
  );
  const place = new Uint32Array(rows);
  byLabel.forEach((row, index) => {
    place[row] = index;
  });
  return place;
}

function sortedLabels(batches: readonly RowBatch[], place: Uint32Array): RowLabels {
  const sorted = <A extends Int32Array | Uint8Array>(column: A): A => {
    const out = column.slice() as A;
    for (let i = 0; i < place.length; i++) out[place[i]!] = column[i]!;
    return out;
  };
  const rows = place.length;
  return {
    sample: sorted(concat(batches, rows, "sample", Int32Array)),
    position: sorted(concat(batches, rows, "position", Int32Array)),
    tokenId: sorted(concat(batches, rows, "tokenId", Int32Array)),
    phase: sorted(concat(batches, rows, "phase", Uint8Array)),
  };
}

function concat<A extends Int32Array | Uint8Array>(
  batches: readonly RowBatch[],
  rows: number,
  column: keyof RowLabels,
  ArrayType: new (length: number) => A,
): A {
  const out = new ArrayType(rows);
  let at = 0;
  for (const batch of batches) {
    out.set(batch[column], at);
    at += batch.rows;
  }
  return out;
}

/** One layer of one stream from all batches, every row at its place. */
function gather(batches: readonly RowBatch[], place: Uint32Array, name: StreamName, layer: number): Data {
  const parts = batches.map((batch) => batch.streams.get(name)!.get(layer)!);
  const ArrayType = TENSOR_ARRAYS[streamSpec(name).type];
  const out = new ArrayType(parts.reduce((sum, part) => sum + part.length, 0));
  const width = place.length === 0 ? 0 : out.length / place.length;
  let row = 0;
  parts.forEach((part, index) => {
    const rows = batches[index]!.rows;
    // Runs of neighbours (a prompt's chunk) move as one block.
    for (let i = 0; i < rows; ) {
      let end = i + 1;
      while (end < rows && place[row + end] === place[row + end - 1]! + 1) end++;
      out.set(part.subarray(i * width, end * width), place[row + i]! * width);
      i = end;
    }
    row += rows;
  });
  return out;
}
