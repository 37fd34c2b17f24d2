import type { RowGroups } from "../../rows/row-groups.ts";
import type { LayerChunk } from "../../scan/layer-chunks.ts";
import { SummaryTally } from "../../statistics/moments.ts";

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

/** Counts usage and entropy by group. */
export class GroupTally {
  readonly #groups: RowGroups;
  readonly #experts: number;
  readonly #rows: Float64Array;
  readonly #counts: Float64Array;
  readonly #entropy: SummaryTally[];

  constructor(groups: RowGroups, experts: number) {
    const { length } = groups.names;
    this.#groups = groups;
    this.#experts = experts;
    this.#rows = new Float64Array(length);
    this.#counts = new Float64Array(length * experts);
    this.#entropy = Array.from({ length }, () => new SummaryTally());
  }

  /** @param entropy of each row of the chunk. */
  add({ from, rows, ids, topK }: LayerChunk, entropy: Float64Array | null): void {
    for (let row = 0; row < rows; row++) {
      const group = this.#groups.ofRow[from + row]!;
      this.#rows[group]!++;
      const base = group * this.#experts;
      for (let i = row * topK; i < (row + 1) * topK; i++) this.#counts[base + ids[i]!]!++;
      if (entropy) this.#entropy[group]!.add(entropy[row]!);
    }
  }

  result(): GroupCounts {
    return {
      names: this.#groups.names,
      rows: this.#rows,
      counts: this.#counts,
      entropy: this.#entropy.map(({ mean }) => mean),
    };
  }
}
