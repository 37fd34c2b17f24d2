import { schema } from "../../../core/schema.ts";
import { pairChances } from "../../statistics/conditional-bernoulli.ts";
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
   * `[experts, experts]`: the same where each row draws its different experts independently, each expert used as often
   * as it is; see `pairChances`.
   */
  readonly expected: Float64Array;
  /**
   * `[experts, experts]`: counts / expected; 1 is neutral, whatever the usage. NaN where one of the two was never used,
   * and on the diagonal.
   */
  readonly lift: Float64Array;
}

/** From the counts all that follows from them. */
export function coactivationOf({ rows, counts }: PairCounts, experts: number): Coactivation {
  const used = Float64Array.from({ length: experts }, (_, e) =>
    rows === 0 ? 0 : counts[e * experts + e]! / rows,
  );
  const perRow = Math.round(used.reduce((sum, share) => sum + share, 0));
  const expected = pairChances(used, perRow).map((chance) => chance * rows);
  const lift = counts.map((count, i) =>
    expected[i]! > 0 && i % experts !== Math.floor(i / experts) ? count / expected[i]! : Number.NaN,
  );
  return { rows, experts, counts, expected, lift };
}
