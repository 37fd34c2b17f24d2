import { seededRandom } from "./random.ts";

/** What differs within each of some units: a text's tokens against each other, or a text in two captures. */
export interface UnitDifferences {
  readonly units: number;
  readonly columns: number;
  /** `[units, columns]`. */
  readonly values: Float64Array;
}

export interface Flips {
  /** Ways that are visited. */
  readonly ways: number;
  /** Whether they are all there are, the one that flips nothing among them; else they are random. */
  readonly exact: boolean;
  /** @param visit gets the sums of the columns, which change after it returns. */
  forEach(visit: (sums: Float64Array, way: number) => void): void;
}

/**
 * Sums of the columns when each unit keeps its differences or has all of them negated, by chance: in all 2^units ways
 * where they are no more than `permutations`, else in so many random ones.
 *
 * The null hypothesis: each unit's differences are as likely as their negatives. With n units no two-sided p-value is
 * below 2^(1 - n).
 *
 * Source: R. A. Fisher, The Design of Experiments (1935), section 21; `scipy.stats.permutation_test` with
 * `permutation_type="samples"`.
 */
export function signFlips(
  { units, columns, values }: UnitDifferences,
  permutations: number,
  seed: number,
): Flips {
  const exact = 2 ** units <= permutations;
  const ways = exact ? 2 ** units : permutations;
  return {
    ways,
    exact,
    forEach(visit) {
      const sums = columnSums({ units, columns, values });
      const sign = new Int8Array(units).fill(1);
      const flip = (unit: number) => {
        sign[unit] = -sign[unit]!;
        const change = 2 * sign[unit]!;
        for (let c = 0, at = unit * columns; c < columns; c++, at++) sums[c]! += change * values[at]!;
      };
      if (exact) {
        // In the order of a Gray code each way is one flip away from the one before.
        visit(sums, 0);
        for (let way = 1; way < ways; way++) {
          flip(31 - Math.clz32(way & -way));
          visit(sums, way);
        }
        return;
      }
      const random = seededRandom(seed);
      for (let way = 0; way < ways; way++) {
        for (let unit = 0; unit < units; unit++) if (random() < 0.5) flip(unit);
        visit(sums, way);
      }
    },
  };
}

export function columnSums({ units, columns, values }: UnitDifferences): Float64Array {
  const sums = new Float64Array(columns);
  for (let unit = 0, i = 0; unit < units; unit++)
    for (let c = 0; c < columns; c++, i++) sums[c]! += values[i]!;
  return sums;
}

/** By column 1 / sum of squares, which flips do not change; 0 where nothing differs. */
export function inverseSquares({ units, columns, values }: UnitDifferences): Float64Array {
  const squares = new Float64Array(columns);
  for (let unit = 0, i = 0; unit < units; unit++)
    for (let c = 0; c < columns; c++, i++) squares[c]! += values[i]! * values[i]!;
  return squares.map((square) => (square > 0 ? 1 / square : 0));
}

/** How many units are few enough to be flipped one by one; more are put together at random into so many. */
export const MOST_UNITS = 64;
