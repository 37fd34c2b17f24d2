import { concatArrays } from "../../../core/concat-arrays.ts";
import { lowerBound } from "../../../core/lower-bound.ts";

/** One statistic of each of some hypotheses, against the same statistics of permuted data. */
export interface Tested {
  /** As the data stand. */
  readonly observed: Float64Array;
  /** How often permuted data give as much. */
  readonly pValues: Float64Array;
  /** By permutation the greatest statistic of all hypotheses: what {@link correctedTogether} corrects with. */
  readonly maxima: Float64Array;
  /** Whether the permutations are all there are, the one that changes nothing among them; else they are random. */
  readonly exact: boolean;
}

/** Equal partitions summed in another order differ in the last digits and are still equal. */
const SAME = 1e-9;

const leastReaching = (observed: number) => observed - SAME * Math.max(1, Math.abs(observed));

/**
 * Counts how often permuted data give as much as the data do.
 *
 * p = (1 + permutations that gave as much) / (1 + permutations), which is never 0 (Phipson and Smyth, Stat. Appl.
 * Genet. Mol. Biol. 9, 2010); over all permutations the exact part.
 */
export class Exceedances {
  readonly #observed: Float64Array;
  readonly #least: Float64Array;
  readonly #reached: Uint32Array;
  readonly #maxima: Float64Array;

  /** @param observed the statistics of the data as they stand; copied. */
  constructor(observed: Float64Array, permutations: number) {
    this.#observed = observed.slice();
    this.#least = observed.map(leastReaching);
    this.#reached = new Uint32Array(observed.length);
    this.#maxima = new Float64Array(permutations).fill(-Infinity);
  }

  /** @param current the same statistics of the data in the order of a permutation. */
  add(permutation: number, current: Float64Array): void {
    const least = this.#least;
    const reached = this.#reached;
    let max = -Infinity;
    for (let i = 0; i < current.length; i++) {
      const value = current[i]!;
      // Without branches, which nothing could foretell.
      reached[i]! += +(value >= least[i]!);
      max = Math.max(max, value);
    }
    this.#maxima[permutation] = max;
  }

  result(exact = false): Tested {
    const ways = this.#maxima.length;
    const one = exact ? 0 : 1;
    return {
      observed: this.#observed,
      pValues: Float64Array.from(this.#reached, (reached) => (reached + one) / (ways + one)),
      maxima: this.#maxima,
      exact,
    };
  }
}

/** Statistics that were tested in parts, the same permutations each time. */
export function joined(parts: readonly Tested[]): Tested {
  const [first] = parts;
  if (parts.length === 1) return first!;
  return {
    observed: concatArrays(
      Float64Array,
      parts.map(({ observed }) => observed),
    ),
    pValues: concatArrays(
      Float64Array,
      parts.map(({ pValues }) => pValues),
    ),
    maxima: greatest(parts),
    exact: first!.exact,
  };
}

/**
 * p-values corrected for everything that was tested together: how often the greatest of all permuted statistics
 * reaches this one. Accepting those of at most 0.05 keeps the chance of any false one at 5 %, whatever the dependence
 * of the tests. They need no p-value that is small enough for a multiplication: one perfect specialist among a
 * hundred thousand tests reaches 1 / (1 + permutations).
 *
 * Source: single-step max-T, Westfall and Young, Resampling-Based Multiple Testing (1993), chapter 2.
 *
 * @param tests of the same permutations in the same order, such as those of a model's layers.
 * @returns a q-value for each hypothesis of each test.
 */
export function correctedTogether(tests: readonly Tested[]): Float64Array[] {
  if (tests.length === 0) return [];
  const { exact } = tests[0]!;
  const sorted = greatest(tests).sort();
  const one = exact ? 0 : 1;
  return tests.map(({ observed }) =>
    observed.map(
      (value) => (sorted.length - lowerBound(sorted, leastReaching(value)) + one) / (sorted.length + one),
    ),
  );
}

function greatest(tests: readonly Tested[]): Float64Array {
  const max = tests[0]!.maxima.slice();
  for (const { maxima } of tests)
    for (let i = 0; i < max.length; i++) if (maxima[i]! > max[i]!) max[i] = maxima[i]!;
  return max;
}
