/** What tells the best expert of some rows. */
interface RankedRows {
  /** Chosen experts `[rows, topK]`, in any order: engines need not sort them. */
  readonly ids: Uint16Array;
  readonly topK: number;
  /** Mixing weights of the ids; `null` where they are not known. */
  readonly weights: Float32Array | null;
  /** Router logits `[rows, experts]`; asked for where weights are not known. */
  readonly logits: { readonly data: Float32Array } | null;
}

/**
 * The rows' experts with the best one in front, the others as they were. The best expert is the one of most weight;
 * where weights are not known, of the greatest router logit; where those are not either, the first that the engine
 * names. Of several alike it is the first.
 *
 * @returns the ids themselves where nothing moves.
 */
export function withBestFirst(rows: RankedRows): Uint16Array {
  const { ids, topK, weights } = rows;
  const count = topK === 0 ? 0 : ids.length / topK;
  const logits = weights ? null : (rows.logits?.data ?? null);
  if (!weights && !logits) return ids;
  const experts = logits ? logits.length / count : 0;
  const rank = (at: number, row: number) => (weights ? weights[at]! : logits![row * experts + ids[at]!]!);
  let moved: Uint16Array | null = null;
  for (let row = 0; row < count; row++) {
    const first = row * topK;
    let best = first;
    for (let i = first + 1; i < first + topK; i++) if (rank(i, row) > rank(best, row)) best = i;
    if (best === first) continue;
    moved ??= ids.slice();
    moved[best] = ids[first]!;
    moved[first] = ids[best]!;
  }
  return moved ?? ids;
}
