import { ALPHA } from "../statistics/randomization/least-q.ts";
import type { RowColumns } from "./row-columns.ts";

/** Numbers kept by type and expert: 20 MB a layer. */
const MAX_CELLS = 2 ** 20;

/** The token types of a capture that occur in enough texts to have preferences. */
export interface TokenTypes {
  /** Token id of each type, those of most texts first. */
  readonly ids: Int32Array;
  /** Rows of each type, and texts that have it. */
  readonly rows: Uint32Array;
  readonly texts: Uint32Array;
  /** Per row the index of its type; -1 for one that is not tested. */
  readonly ofRow: Int32Array;
  /** Per row 1 / rows of its type in its text, so that a text is one observation of the type. */
  readonly weight: Float32Array;
  /** The least texts in which a type can show anything; types of fewer are not tested. `null`: none can be. */
  readonly textsNeeded: number | null;
}

interface Occurrence {
  rows: number;
  texts: number;
  lastText: number;
}

/**
 * @param tests of a type: experts of all layers.
 * @param fairShare chance of an expert to serve a row.
 */
export function tokenTypes(
  { tokenId, sample, length }: RowColumns,
  experts: number,
  tests: number,
  fairShare: number,
): TokenTypes {
  const seen = new Map<number, Occurrence>();
  for (let row = 0; row < length; row++) {
    const id = tokenId[row]!;
    const of = seen.get(id) ?? { rows: 0, texts: 0, lastText: -1 };
    if (of.rows === 0) seen.set(id, of);
    of.rows++;
    // Rows of a sample come together.
    if (of.lastText !== sample[row]) of.texts++;
    of.lastText = sample[row]!;
  }
  const spread = [...seen].sort(([a, n], [b, m]) => m.texts - n.texts || m.rows - n.rows || a - b);
  const needed = textsNeeded(
    spread.map(([, { texts }]) => texts),
    tests,
    fairShare,
  );
  const tested = spread
    .filter(([, { texts }]) => needed !== null && texts >= needed)
    .slice(0, Math.floor(MAX_CELLS / Math.max(1, experts)));
  const index = new Map(tested.map(([id], type) => [id, type]));
  const ofRow = Int32Array.from(tokenId, (id) => index.get(id) ?? -1);
  return {
    ids: Int32Array.from(tested, ([id]) => id),
    rows: Uint32Array.from(tested, ([, { rows }]) => rows),
    texts: Uint32Array.from(tested, ([, { texts }]) => texts),
    ofRow,
    weight: weights(sample, ofRow, tested.length),
    textsNeeded: needed,
  };
}

/**
 * The fewest texts in which a type could be found to prefer an expert: one that serves it in all of them, and has a
 * fair share of the other tokens, has p = fairShare^texts, times the tests there are. It is chosen by the tokens alone,
 * not by what experts served, so that it favours no result.
 *
 * @param texts of each type, the most first.
 */
function textsNeeded(texts: readonly number[], tests: number, fairShare: number): number | null {
  if (!(fairShare > 0 && fairShare < 1)) return null;
  let types = texts.length;
  for (let needed = 2; ; needed++) {
    while (types > 1 && texts[types - 1]! < needed) types--;
    if (fairShare ** needed * tests * Math.max(1, types) <= ALPHA) return needed;
  }
}

function weights(sample: Int32Array, ofRow: Int32Array, types: number): Float32Array {
  const weight = new Float32Array(ofRow.length);
  const rows = new Uint32Array(types);
  for (let from = 0; from < ofRow.length; ) {
    let to = from;
    for (; to < ofRow.length && sample[to] === sample[from]; to++) if (ofRow[to]! >= 0) rows[ofRow[to]!]!++;
    for (let row = from; row < to; row++) if (ofRow[row]! >= 0) weight[row] = 1 / rows[ofRow[row]!]!;
    for (let row = from; row < to; row++) if (ofRow[row]! >= 0) rows[ofRow[row]!] = 0;
    from = to;
  }
  return weight;
}
