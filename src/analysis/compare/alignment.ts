import type { Capture, Rows } from "../../capture/capture.ts";
import { RequestError } from "../../core/errors.ts";
import { smallest } from "../../core/extremes.ts";
import { CHUNK_ROWS } from "../rows/chosen.ts";

/** A sample whose generated texts differ: from this position on its rows have no counterpart. */
export interface DivergingText {
  readonly sample: number;
  /** The first position with different tokens. */
  readonly position: number;
}

/** The rows of two captures that are the same token at the same place. */
export interface Alignment {
  /** Index of each pair's row in the first capture, ascending ... */
  readonly a: Uint32Array;
  /** ... and in the second. */
  readonly b: Uint32Array;
  /** Rows of the first capture that the second has not, because it kept other rows or other samples. */
  readonly onlyA: number;
  readonly onlyB: number;
  /** Where generated texts diverge. The rows behind count as neither pairs nor {@link onlyA} or {@link onlyB}. */
  readonly divergingTexts: readonly DivergingText[];
}

/**
 * Pair the rows of two captures by sample and position. Prompts must have the same tokens; generated texts are paired
 * as far as they agree, because behind the first difference equal tokens have different pasts.
 *
 * @throws RequestError `INVALID_ARGUMENT` where prompts differ, saying where and whether the text or only its
 *   tokenisation does.
 */
export function alignRows(a: Capture, b: Capture): Alignment {
  checkPromptLengths(a, b);
  const most = Math.min(a.rows.length, b.rows.length);
  const pairs = { a: new Uint32Array(most), b: new Uint32Array(most) };
  const divergingTexts: DivergingText[] = [];
  let [count, onlyA, onlyB, i, j] = [0, 0, 0, 0, 0];
  while (i < a.rows.length || j < b.rows.length) {
    const order = compareRows(a.rows, i, b.rows, j);
    if (order < 0) onlyA++;
    else if (order > 0) onlyB++;
    else if (a.rows.tokenId[i] === b.rows.tokenId[j]) {
      pairs.a[count] = i;
      pairs.b[count++] = j;
    } else {
      const [sample, position] = [a.rows.sample[i]!, a.rows.position[i]!];
      if (position < a.samples[sample]!.promptTokens) throw differentPrompts(a, b, sample, position);
      divergingTexts.push({ sample, position });
      i = endOfSample(a.rows, i);
      j = endOfSample(b.rows, j);
      continue;
    }
    if (order <= 0) i++;
    if (order >= 0) j++;
  }
  return { a: pairs.a.subarray(0, count), b: pairs.b.subarray(0, count), onlyA, onlyB, divergingTexts };
}

/** Pairs `[from, to)` and the rows of each capture that hold them. */
export interface PairChunk {
  readonly from: number;
  readonly to: number;
  readonly spanA: readonly [from: number, to: number];
  readonly spanB: readonly [from: number, to: number];
}

/** Chunks that cover all pairs; neither capture is read for more than {@link CHUNK_ROWS} rows at a time. */
export function* pairChunks({ a, b }: Pick<Alignment, "a" | "b">): Generator<PairChunk> {
  for (let from = 0; from < a.length; ) {
    let to = from + 1;
    while (to < a.length && a[to]! - a[from]! < CHUNK_ROWS && b[to]! - b[from]! < CHUNK_ROWS) to++;
    yield { from, to, spanA: [a[from]!, a[to - 1]! + 1], spanB: [b[from]!, b[to - 1]! + 1] };
    from = to;
  }
}

/** Order of two rows by sample, then position; a row past the end comes last. */
function compareRows(a: Rows, i: number, b: Rows, j: number): number {
  if (i === a.length) return 1;
  if (j === b.length) return -1;
  return a.sample[i]! - b.sample[j]! || a.position[i]! - b.position[j]!;
}

function endOfSample({ sample, length }: Rows, row: number): number {
  let end = row;
  while (end < length && sample[end] === sample[row]) end++;
  return end;
}

/** Where a selection left out the rows that differ, the prompts' lengths still tell. */
function checkPromptLengths(a: Capture, b: Capture): void {
  const shared = Math.min(a.samples.length, b.samples.length);
  for (let sample = 0; sample < shared; sample++) {
    const lengths = [a, b].map((capture) => capture.samples[sample]!.promptTokens) as [number, number];
    if (lengths[0] === lengths[1]) continue;
    const [left, right] = [a.sample(sample).rows, b.sample(sample).rows];
    const rows = Math.min(left.length, right.length, smallest(lengths));
    let same = 0;
    while (same < rows && left.tokenId[same] === right.tokenId[same]) same++;
    throw differentPrompts(a, b, sample, left.position[same] ?? same);
  }
}

/** What to say of a prompt that is not the same sequence of tokens in both captures. */
function differentPrompts(a: Capture, b: Capture, sample: number, position: number): RequestError {
  const sides = [a, b].map((capture) => promptOf(capture, sample, position)) as [Side, Side];
  const sameText = sides[0].text !== "" && sides[0].text === sides[1].text;
  const [left, right] = sides.map(({ length, token }) => `${token} in a prompt of length ${length}`);
  return new RequestError(
    "INVALID_ARGUMENT",
    `the captures cannot be aligned: at sample ${sample}, position ${position}, A has ${left}, B ${right}. ` +
      (sameText
        ? "The text is the same, its tokenisation differs: compare models with the same tokeniser"
        : "The prompts differ: capture both from the same prompts in the same order, with the same tokeniser"),
  );
}

interface Side {
  readonly text: string;
  /** The token at the position in question, or `nothing`. */
  readonly token: string;
  readonly length: number;
}

function promptOf(capture: Capture, sample: number, position: number): Side {
  const { rows } = capture.sample(sample);
  const length = capture.samples[sample]!.promptTokens;
  const text = rows.text;
  const at = rows.position.indexOf(position);
  return {
    text: text.filter((_, row) => rows.position[row]! < length).join(""),
    token:
      at < 0 || position >= length ? "nothing" : `${JSON.stringify(text[at])} (token ${rows.tokenId[at]})`,
    length,
  };
}
