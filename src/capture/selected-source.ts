import type { Reduction } from "../core/plan.ts";
import type { RowLabels } from "../core/rows.ts";
import { type StreamName, streamSpec } from "../core/streams.ts";
import { TENSOR_ARRAYS, type TensorDataTypes, type TensorType } from "../core/tensor.ts";
import type { CaptureSource, RowSpan } from "./source.ts";

/** The rows `[from, to)` of a sample. */
interface Span extends RowSpan {
  readonly sample: number;
}

/** The rows of some samples of another source. Labels are copied, values are read when they are asked for. */
export class SelectedSource implements CaptureSource {
  readonly header: CaptureSource["header"];
  readonly labels: RowLabels;
  readonly finished: CaptureSource["finished"];
  readonly complete: boolean;
  readonly dropped: number;
  readonly reduce: Reduction;
  readonly missing: CaptureSource["missing"];
  readonly origin: CaptureSource["origin"];
  readonly streams: CaptureSource["streams"];
  readonly tokenText: CaptureSource["tokenText"];
  readonly #source: CaptureSource;
  /** Spans in order; neighbours are one. */
  readonly #spans: readonly RowSpan[];

  /** @param spans each sample's rows in `source`, in order. */
  constructor(source: CaptureSource, spans: readonly Span[]) {
    const kept = new Set(spans.map(({ sample }) => sample));
    this.#source = source;
    this.#spans = joined(spans);
    this.header = source.header;
    this.finished = source.finished.filter(({ sample }) => kept.has(sample));
    this.complete = source.complete;
    this.dropped = source.dropped;
    this.reduce = source.reduce;
    this.missing = source.missing.filter(({ sample }) => kept.has(sample));
    this.origin = source.origin && {
      ...source.origin,
      samples: [...kept],
      spans: source.origin.spans ? within(source.origin.spans, this.#spans) : this.#spans,
    };
    this.streams = source.streams;
    this.tokenText = source.tokenText;
    const length = spans.reduce((sum, { from, to }) => sum + to - from, 0);
    const pick = <A extends Int32Array | Uint8Array>(column: A): A => {
      const picked = new (column.constructor as new (length: number) => A)(length);
      let at = 0;
      for (const { from, to } of spans) {
        picked.set(column.subarray(from, to), at);
        at += to - from;
      }
      return picked;
    };
    const { sample, position, tokenId, phase } = source.labels;
    this.labels = {
      sample: pick(sample),
      position: pick(position),
      tokenId: pick(tokenId),
      phase: pick(phase),
    };
  }

  promptTokens(sample: number): Int32Array | null {
    return this.#source.promptTokens(sample);
  }

  dims(stream: StreamName, layer: number): readonly number[] {
    return this.#source.dims(stream, layer);
  }

  read(stream: StreamName, layer: number, from: number, to: number): TensorDataTypes[TensorType] {
    const width = this.dims(stream, layer).reduce((product, size) => product * size, 1);
    return readSpans(this.#spans, stream, width, from, to, (begin, end) =>
      this.#source.read(stream, layer, begin, end),
    );
  }
}

/**
 * Rows `[from, to)` of some spans of rows one after the other.
 *
 * @param width values of a row.
 * @param read reads rows as the spans count them.
 */
export function readSpans(
  spans: readonly RowSpan[],
  stream: StreamName,
  width: number,
  from: number,
  to: number,
  read: (from: number, to: number) => TensorDataTypes[TensorType],
): TensorDataTypes[TensorType] {
  const out = new TENSOR_ARRAYS[streamSpec(stream).type]((to - from) * width);
  let first = 0;
  for (const span of spans) {
    const begin = Math.max(from, first);
    const end = Math.min(to, first + span.to - span.from);
    if (begin < end) {
      const at = span.from - first;
      out.set(read(begin + at, end + at), (begin - from) * width);
    }
    first += span.to - span.from;
  }
  return out;
}

function joined(spans: readonly RowSpan[]): RowSpan[] {
  const all: RowSpan[] = [];
  for (const { from, to } of spans) {
    const last = all.at(-1);
    if (last?.to === from) all[all.length - 1] = { from: last.from, to };
    else all.push({ from, to });
  }
  return all;
}

/** Spans of rows that other spans are made of, as rows of what those are of. */
function within(outer: readonly RowSpan[], inner: readonly RowSpan[]): RowSpan[] {
  const found: RowSpan[] = [];
  let first = 0;
  for (const { from, to } of outer) {
    const last = first + to - from;
    for (const span of inner) {
      const begin = Math.max(span.from, first);
      const end = Math.min(span.to, last);
      if (begin < end) found.push({ from: begin - first + from, to: end - first + from });
    }
    first = last;
  }
  return found;
}
