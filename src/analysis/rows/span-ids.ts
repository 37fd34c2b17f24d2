import { unknownExpert } from "./known-runs.ts";
import type { LayerChunk } from "./layer-chunk.ts";
import type { SampleSpan } from "./sample-spans.ts";

/** The chosen experts of the rows of some spans, kept while a layer passes by. Plain data. */
export interface SpanIds {
  /** Where each span's rows begin; one more than there are spans. */
  readonly offsets: Uint32Array;
  /** `[rows, topK]`, the best expert of each row in front; {@link unknownExpert} where it is not known. */
  ids: Uint16Array;
  topK: number;
  /** First span that may still get rows. */
  next: number;
}

/** @param spans in order of their rows. */
export function startSpanIds(spans: readonly SampleSpan[]): SpanIds {
  const offsets = new Uint32Array(spans.length + 1);
  spans.forEach(({ from, to }, i) => {
    offsets[i + 1] = offsets[i]! + to - from;
  });
  return { offsets, ids: new Uint16Array(0), topK: 0, next: 0 };
}

/** Chunks come in order. */
export function addSpanIds(
  state: SpanIds,
  spans: readonly SampleSpan[],
  { from, rows, bestFirst, unranked, topK }: LayerChunk,
): void {
  const ids = unranked ? bestFirst.slice() : bestFirst;
  unranked?.forEach((isUnranked, row) => {
    if (isUnranked === 1) ids.fill(unknownExpert(ids), row * topK, (row + 1) * topK);
  });
  if (state.topK === 0) {
    state.topK = topK;
    state.ids = new Uint16Array(spanRows(state) * topK);
  }
  for (let i = state.next; i < spans.length && spans[i]!.from < from + rows; i++) {
    const span = spans[i]!;
    const begin = Math.max(span.from, from);
    const end = Math.min(span.to, from + rows);
    const place = state.offsets[i]! + begin - span.from;
    if (begin < end) state.ids.set(ids.subarray((begin - from) * topK, (end - from) * topK), place * topK);
    if (span.to <= from + rows) state.next = i + 1;
  }
}

/** Rows of all spans together. */
const spanRows = ({ offsets }: Pick<SpanIds, "offsets">): number => offsets.at(-1)!;
