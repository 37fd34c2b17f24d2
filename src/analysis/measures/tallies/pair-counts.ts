import { schema } from "../../../core/schema.ts";
import type { StreamTally } from "../measure.ts";
import { amounts, wholeNumber } from "./state-json.ts";

/** Rows that used two experts of a layer, by pair. */
export interface PairCounts {
  rows: number;
  /** `[experts, experts]`, symmetric; the diagonal holds the rows that used the expert at all. */
  readonly counts: Float64Array;
}

/** Counts the pairs of one layer. Holds experts x experts numbers. */
export const pairCounts: StreamTally<PairCounts> = {
  needs: ["chosen"],
  start: ({ experts }) => ({ rows: 0, counts: new Float64Array(experts * experts) }),
  take(state, { ids, rows, topK }, { experts }) {
    const { counts } = state;
    state.rows += rows;
    for (let row = 0; row < rows; row++) {
      const end = (row + 1) * topK;
      for (let i = row * topK; i < end; i++) {
        const base = ids[i]! * experts;
        for (let j = row * topK; j < end; j++) counts[base + ids[j]!]!++;
      }
    }
  },
  merge: (a, b) => ({
    rows: a.rows + b.rows,
    counts: a.counts.map((count, i) => count + b.counts[i]!),
  }),
  toJson: ({ rows, counts }) => ({ rows, counts: [...counts] }),
  fromJson: ({ experts }) =>
    schema((z) => z.object({ rows: wholeNumber(), counts: amounts(experts * experts) }))(),
};

/** How often pairs of a layer's experts served the same row. */
export interface Coactivation {
  readonly rows: number;
  readonly experts: number;
  /** `[experts, experts]`, symmetric: rows that used both; the diagonal holds the rows that used the expert at all. */
  readonly counts: Float64Array;
  /**
   * `[experts, experts]`: counts / (counts[a] * counts[b] / rows), the count that independent experts would have.
   * NaN where one of the two was never used, and on the diagonal.
   */
  readonly lift: Float64Array;
  /**
   * Lift over all pairs together. Below 1 even when no pair is special, because a row picks different experts:
   * (topK - 1) / topK * experts / (experts - 1) for even usage. Compare a pair with this, not with 1.
   */
  readonly neutralLift: number;
}

/** From the counts all that follows from them. */
export function coactivationOf({ rows, counts }: PairCounts, experts: number): Coactivation {
  const lift = new Float64Array(experts * experts).fill(Number.NaN);
  let observed = 0;
  let expected = 0;
  for (let a = 0; a < experts; a++)
    for (let b = 0; b < experts; b++) {
      if (a === b) continue;
      const independent = (counts[a * experts + a]! * counts[b * experts + b]!) / rows;
      if (independent > 0) lift[a * experts + b] = counts[a * experts + b]! / independent;
      observed += counts[a * experts + b]!;
      expected += independent;
    }
  return { rows, experts, counts, lift, neutralLift: observed / expected };
}
