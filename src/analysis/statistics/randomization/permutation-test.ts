import { choiceInformation, expertInformation } from "../mutual-information.ts";
import { labelCounter } from "./label-counts.ts";
import { seededRandom, shuffle } from "./random.ts";
import type { Units } from "./units.ts";

/** A statistic, what permutations gave on average, and how often they gave as much. */
export interface Tested {
  readonly observed: Float64Array;
  /** Mean over the permutations: what chance alone brings. */
  readonly chance: Float64Array;
  readonly pValues: Float64Array;
}

export interface LayerTest {
  /** `[labels, experts]`: rows of the label that used the expert, as they are. */
  readonly counts: Float64Array;
  /** Rows per label. */
  readonly rows: Float64Array;
  /** `[1]`: mutual information of expert and label over all choices, bits. */
  readonly layer: Tested;
  /** `[experts]`: mutual information of use and label, bits. */
  readonly experts: Tested;
  /** `[labels, experts]`: part of the label's rows that used the expert; the p-value is one-sided (more than chance). */
  readonly shares: Tested;
}

/** What a test looks at in the data as they stand. */
export interface Statistics<T> {
  /** Arrays that {@link compute} fills. */
  readonly values: readonly Float64Array[];
  readonly compute: () => void;
  /** @param tested one for each of {@link values}. */
  readonly result: (tested: readonly Tested[]) => T;
}

/**
 * Compare statistics of the data as they are with those of permuted data, all of them at each permutation.
 *
 * p = (1 + permutations that gave as much) / (1 + permutations), which is never 0 (Phipson & Smyth, Stat. Appl.
 * Genet. Mol. Biol. 9, 2010).
 *
 * @param permute puts the data in another order that the null hypothesis holds to be as likely.
 */
export function permutationTests<T>(
  statistics: readonly Statistics<T>[],
  permute: () => void,
  permutations: number,
): T[] {
  for (const { compute } of statistics) compute();
  const tallies = statistics.map(({ values }) => values.map((current) => new Tally(current)));
  for (let i = 0; i < permutations; i++) {
    permute();
    for (const { compute } of statistics) compute();
    for (const of of tallies) for (const tally of of) tally.add();
  }
  return statistics.map(({ result }, i) => result(tallies[i]!.map((tally) => tally.result(permutations))));
}

/** Test one layer against its labels being permuted over the units. */
export function testLayer(
  units: Units,
  labels: number,
  experts: number,
  permutations: number,
  seed: number,
): LayerTest {
  const label = units.label.slice();
  const random = seededRandom(seed);
  const counts = new Float64Array(labels * experts);
  const rows = new Float64Array(labels);
  const count = labelCounter(units, label, labels, experts);
  count(counts, rows);
  const permute = () => {
    shuffle(label, random);
    count(counts, rows);
  };
  return permutationTests([usageStatistics(counts, rows, experts)], permute, permutations)[0]!;
}

/**
 * How groups of rows use the experts of a layer.
 *
 * @param counts `[groups, experts]`: rows of the group that used the expert, as they stand.
 * @param rows of each group.
 */
export function usageStatistics(
  counts: Float64Array,
  rows: Float64Array,
  experts: number,
): Statistics<LayerTest> {
  const groups = rows.length;
  const observed = { counts: counts.slice(), rows: rows.slice() };
  const whole = new Float64Array(1);
  const perExpert = new Float64Array(experts);
  const shares = new Float64Array(groups * experts);
  return {
    values: [whole, perExpert, shares],
    compute() {
      expertInformation(counts, rows, perExpert);
      whole[0] = choiceInformation(counts, groups, experts);
      for (let g = 0, i = 0; g < groups; g++)
        for (let e = 0; e < experts; e++, i++) shares[i] = counts[i]! / rows[g]!;
    },
    result: ([layer, ofExperts, ofShares]) => ({
      ...observed,
      layer: layer!,
      experts: ofExperts!,
      shares: ofShares!,
    }),
  };
}

/** Compares the numbers in `current`, which change with every permutation, with those at the start. */
class Tally {
  readonly #current: Float64Array;
  readonly #observed: Float64Array;
  readonly #sum: Float64Array;
  readonly #reached: Uint32Array;

  constructor(current: Float64Array) {
    this.#current = current;
    this.#observed = current.slice();
    this.#sum = new Float64Array(current.length);
    this.#reached = new Uint32Array(current.length);
  }

  add(): void {
    for (let i = 0; i < this.#current.length; i++) {
      this.#sum[i]! += this.#current[i]!;
      // Equal partitions summed in another order differ in the last bits and are still equal.
      if (this.#current[i]! >= this.#observed[i]! - 1e-12) this.#reached[i]!++;
    }
  }

  result(permutations: number): Tested {
    return {
      observed: this.#observed,
      chance: this.#sum.map((sum) => sum / permutations),
      pValues: Float64Array.from(this.#reached, (reached) => (reached + 1) / (permutations + 1)),
    };
  }
}
