import type { RowColumns } from "./row-columns.ts";

/** A type that occurs less often is not ranked: five rows are the least that tell a preference from chance. */
const MIN_ROWS = 5;
/** The most frequent are kept: with 512 experts their counts take 8 MB a layer. */
const MAX_TYPES = 4096;

/** The token types of a capture that occur often enough to have preferences. */
export interface TokenTypes {
  /** Token id of each type, the most frequent first. */
  readonly ids: Int32Array;
  /** Rows of each type. */
  readonly rows: Uint32Array;
  /** Per row the index of its type; -1 for a rare one. */
  readonly ofRow: Int16Array;
}

export function tokenTypes({ tokenId }: RowColumns): TokenTypes {
  const counts = new Map<number, number>();
  for (const id of tokenId) counts.set(id, (counts.get(id) ?? 0) + 1);
  const frequent = [...counts]
    .filter(([, rows]) => rows >= MIN_ROWS)
    .sort(([a, n], [b, m]) => m - n || a - b)
    .slice(0, MAX_TYPES);
  const index = new Map(frequent.map(([id], type) => [id, type]));
  return {
    ids: Int32Array.from(frequent, ([id]) => id),
    rows: Uint32Array.from(frequent, ([, rows]) => rows),
    ofRow: Int16Array.from(tokenId, (id) => index.get(id) ?? -1),
  };
}
