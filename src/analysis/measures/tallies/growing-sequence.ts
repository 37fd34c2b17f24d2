import type { ExpertSequence } from "../../statistics/expert-cache.ts";

/** The experts of a layer's first texts, while their rows pass. */
export interface GrowingSequence {
  readonly ids: (Uint8Array | Uint16Array)[];
  readonly starts: number[];
  tokens: number;
  perRow: number;
  sample: number;
  full: boolean;
}

/** A text that begins below this is looked at. */
const MAX_TOKENS = 32_768;
/** The last one is cut here. */
const MAX_TOKENS_WITH_LAST = 65_536;

export const startSequence = (): GrowingSequence => ({
  ids: [],
  starts: [],
  tokens: 0,
  perRow: 0,
  sample: -1,
  full: false,
});

/** @param ids `[rows, perRow]`; they are kept as they are, not copied. Rows of a sample come together. */
export function addToSequence(
  state: GrowingSequence,
  {
    rows,
    perRow,
    sample,
    ids,
  }: {
    readonly rows: number;
    readonly perRow: number;
    readonly sample: Int32Array;
    readonly ids: Uint8Array | Uint16Array;
  },
): void {
  state.perRow = perRow;
  let kept = 0;
  for (; kept < rows && !state.full; kept++) {
    if (sample[kept] !== state.sample) {
      state.full = state.tokens >= MAX_TOKENS;
      if (state.full) break;
      state.sample = sample[kept]!;
      state.starts.push(state.tokens);
    }
    state.tokens++;
    state.full = state.tokens >= MAX_TOKENS_WITH_LAST;
  }
  if (kept > 0) state.ids.push(ids.subarray(0, kept * perRow));
}

export function sequenceOf(
  { ids, starts, tokens, perRow }: GrowingSequence,
  experts: number,
): ExpertSequence {
  const all = new Uint16Array(tokens * perRow);
  let at = 0;
  for (const part of ids) {
    all.set(part, at);
    at += part.length;
  }
  return { ids: all, starts, tokens, topK: perRow, experts };
}
