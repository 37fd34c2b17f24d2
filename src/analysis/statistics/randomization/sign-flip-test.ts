import { seededRandom } from "./random.ts";

/** Differences within pairs, by the unit that keeps them together (a sample); only those that are not 0. */
export interface PairedDifferences {
  /** Where each unit's entries begin in {@link columns} and {@link values}; one more than there are units. */
  readonly offsets: Uint32Array;
  /** What differs (an expert) ... */
  readonly columns: Uint16Array;
  /** ... and by how much: whole numbers. */
  readonly values: Int32Array;
}

/**
 * Paired randomisation test, two-sided: how often the sum of a column's differences gets as far from 0 when each unit
 * keeps its differences or has all of them negated, by chance.
 *
 * The null hypothesis: within a unit it makes no difference which of the two is called A. The p-value is exact, over
 * all 2^units ways, where they are no more than `permutations`; else (1 + random ways that reach it) /
 * (1 + permutations). With n units no p-value is below 2^(1 - n).
 *
 * Source: R. A. Fisher, The Design of Experiments (1935), section 21; as `scipy.stats.permutation_test` with
 * `permutation_type="samples"`. The 1 + ...: Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010).
 *
 * @returns a p-value per column.
 */
export function signFlipTest(
  differences: PairedDifferences,
  columns: number,
  permutations: number,
  seed: number,
): Float64Array {
  const { offsets, columns: column, values } = differences;
  const units = offsets.length - 1;
  const sums = new Int32Array(columns);
  const add = (unit: number, sign: number) => {
    for (let i = offsets[unit]!; i < offsets[unit + 1]!; i++) sums[column[i]!]! += sign * values[i]!;
  };
  for (let unit = 0; unit < units; unit++) add(unit, 1);
  const observed = sums.map(Math.abs);
  const reached = new Uint32Array(columns);
  const tally = () => {
    for (let c = 0; c < columns; c++) if (Math.abs(sums[c]!) >= observed[c]!) reached[c]!++;
  };
  const sign = new Int8Array(units).fill(1);
  const flip = (unit: number) => {
    sign[unit] = -sign[unit]!;
    add(unit, 2 * sign[unit]!);
  };

  if (2 ** units <= permutations) {
    // In the order of a Gray code each way is one flip away from the one before.
    tally();
    for (let way = 1; way < 2 ** units; way++) {
      flip(31 - Math.clz32(way & -way));
      tally();
    }
    return Float64Array.from(reached, (n) => n / 2 ** units);
  }
  const random = seededRandom(seed);
  for (let way = 0; way < permutations; way++) {
    for (let unit = 0; unit < units; unit++) if (random() < 0.5) flip(unit);
    tally();
  }
  return Float64Array.from(reached, (n) => (n + 1) / (permutations + 1));
}
