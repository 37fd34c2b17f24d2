import { forRandomFlips, type UnitDifferences } from "./flip-sums.ts";
import { seededRandom } from "./random.ts";

export type { UnitDifferences };

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
      const differences = { units, columns, values };
      if (exact) forAllFlips(differences, visit);
      else forRandomFlips(differences, ways, seededRandom(seed), visit);
    },
  };
}

/** In the order of a Gray code each way is one flip away from the one before. */
function forAllFlips(differences: UnitDifferences, visit: (sums: Float64Array, way: number) => void): void {
  const { units, columns, values } = differences;
  const sums = columnSums(differences);
  const sign = new Int8Array(units).fill(1);
  visit(sums, 0);
  for (let way = 1; way < 2 ** units; way++) {
    const unit = 31 - Math.clz32(way & -way);
    sign[unit] = -sign[unit]!;
    const change = 2 * sign[unit]!;
    for (let c = 0, at = unit * columns; c < columns; c++, at++) sums[c]! += change * values[at]!;
    visit(sums, way);
  }
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
