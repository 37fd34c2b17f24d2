import type { LayerChunk } from "../../rows/layer-chunk.ts";
import type { RowGroups } from "../../rows/row-groups.ts";
import { addValues, type Moments, noMoments } from "../../statistics/moments.ts";

/** What the rows of each group did in one layer. */
export interface GroupCounts {
  readonly names: readonly string[];
  /** Rows of each group. */
  readonly rows: Float64Array;
  /** `[groups, experts]`: rows of the group that used the expert. */
  readonly counts: Float64Array;
  /** Mean routing entropy of each group, nats; `null` without logits. */
  readonly entropy: readonly (number | null)[];
}

/** Usage and entropy by group, while they are counted. */
export interface GroupTally {
  readonly rows: Float64Array;
  readonly counts: Float64Array;
  readonly entropy: readonly Moments[];
}

export const startGroups = ({ names }: RowGroups, experts: number): GroupTally => ({
  rows: new Float64Array(names.length),
  counts: new Float64Array(names.length * experts),
  entropy: names.map(noMoments),
});

export function addGroupRows(
  state: GroupTally,
  { ofRow }: RowGroups,
  chunk: LayerChunk,
  experts: number,
): void {
  const { rows, counts } = state;
  const { from, ids, topK, entropy } = chunk;
  for (let row = 0; row < chunk.rows; row++) {
    const group = ofRow[from + row]!;
    rows[group]!++;
    const base = group * experts;
    for (let i = row * topK; i < (row + 1) * topK; i++) counts[base + ids[i]!]!++;
    if (entropy) addValues(state.entropy[group]!, entropy, row, row + 1);
  }
}

export const groupCounts = ({ names }: RowGroups, { rows, counts, entropy }: GroupTally): GroupCounts => ({
  names,
  rows,
  counts,
  entropy: entropy.map(({ finite, mean }) => (finite === 0 ? null : mean)),
});
