import type { RowColumns } from "./row-columns.ts";

/** The rows `[from, to)` of one sample, or the first of them. */
export interface SampleSpan {
  readonly sample: number;
  readonly from: number;
  readonly to: number;
}

/** The rows of each sample. */
export function sampleSpans({ sample, length }: Pick<RowColumns, "sample" | "length">): SampleSpan[] {
  const spans: SampleSpan[] = [];
  for (let from = 0; from < length; ) {
    let to = from + 1;
    while (to < length && sample[to] === sample[from]) to++;
    spans.push({ sample: sample[from]!, from, to });
    from = to;
  }
  return spans;
}

/**
 * Samples spread evenly over the capture that have about `rows` rows together, for work that needs no more to tell
 * what is there. All of them where they are no more than that. A sample that alone is longer is cut.
 */
export function someSpans(spans: readonly SampleSpan[], rows: number): SampleSpan[] {
  const total = spans.reduce((sum, { from, to }) => sum + to - from, 0);
  if (total <= rows) return [...spans];
  const chosen: SampleSpan[] = [];
  // A sample is taken whenever the part of the rows that was taken falls behind.
  let seen = 0;
  let taken = 0;
  for (const { sample, from, to } of spans) {
    seen += to - from;
    if (taken >= rows || taken / seen >= rows / total) continue;
    const length = Math.min(to - from, rows - taken);
    chosen.push({ sample, from, to: from + length });
    taken += length;
  }
  return chosen;
}
