import { divergenceOfCounts } from "./count-divergence.ts";
import { choiceInformation } from "./mutual-information.ts";
import { type LayerTest, permutationTest, type Tested, testUsage } from "./permutation-test.ts";
import { seededRandom } from "./random.ts";

/** Rows of whole samples in their order, to be tested against being turned round within their sample. */
export interface RotatedRows {
  /** Where each sample's rows begin; one more than there are samples. */
  readonly offsets: Uint32Array;
  /** Chosen experts `[rows, topK]`. */
  readonly ids: Uint16Array;
  readonly topK: number;
  /** Group of each row. */
  readonly group: Uint8Array;
}

/**
 * Test whether a row's group (its class of token, its place in the text) has to do with the experts it uses.
 *
 * The null hypothesis: within a sample it does not matter where the sequence of groups begins. Each permutation turns
 * every sample's groups by a random number of places against its experts. That keeps what neighbouring tokens have
 * in common, in both sequences, and what the text is about; shuffling tokens would take them as independent and
 * find significance everywhere.
 *
 * Source: the toroidal shift test of Lotwick and Silverman (J. R. Stat. Soc. B 44, 1982), here on a line closed to a
 * ring.
 */
export function testRotations(
  rows: RotatedRows,
  groups: number,
  experts: number,
  permutations: number,
  seed: number,
): LayerTest {
  const { count, permute } = rotations(rows, experts, seed);
  return testUsage(groups, experts, count, permute, permutations);
}

/** How far usage differs between groups, in all and group by group. */
export interface DivergenceTest {
  /** `[1]`: mutual information of (expert, group) over all choices, bits. */
  readonly whole: Tested;
  /** `[groups]`: Jensen-Shannon divergence of the group's usage from that of all other rows, nats. */
  readonly groups: Tested;
}

/** As {@link testRotations}, for groups as a whole and not for each expert. */
export function testRotatedDivergence(
  rows: RotatedRows,
  groups: number,
  experts: number,
  permutations: number,
  seed: number,
): DivergenceTest {
  const { count, permute } = rotations(rows, experts, seed);
  const counts = new Float64Array(groups * experts);
  const sizes = new Float64Array(groups);
  const whole = new Float64Array(1);
  const each = new Float64Array(groups);
  const compute = () => {
    count(counts, sizes);
    whole[0] = choiceInformation(counts, groups, experts);
    divergenceOfCounts(counts, groups, experts, each);
  };
  const [all, byGroup] = permutationTest([whole, each] as const, compute, permute, permutations);
  return { whole: all, groups: byGroup };
}

function rotations({ offsets, ids, topK, group }: RotatedRows, experts: number, seed: number) {
  const random = seededRandom(seed);
  const samples = offsets.length - 1;
  const turn = new Uint32Array(samples);
  // Each sample's groups twice in a row, as places in the table: a turned sequence is a stretch of it.
  const places = new Int32Array(2 * group.length);
  for (let s = 0; s < samples; s++) {
    const begin = offsets[s]!;
    const length = offsets[s + 1]! - begin;
    for (let i = 0; i < 2 * length; i++) places[2 * begin + i] = group[begin + (i % length)]! * experts;
  }
  const sizes = new Uint32Array(256);
  for (const of of group) sizes[of]!++;
  // Whole numbers are added up fastest; turning changes no group's rows.
  let table = new Int32Array(0);
  return {
    permute() {
      for (let s = 0; s < samples; s++) turn[s] = Math.floor(random() * (offsets[s + 1]! - offsets[s]!));
    },
    count(counts: Float64Array, rows: Float64Array) {
      if (table.length !== counts.length) table = new Int32Array(counts.length);
      table.fill(0);
      for (let s = 0; s < samples; s++) {
        const begin = offsets[s]!;
        const end = offsets[s + 1]!;
        const shift = begin + turn[s]!;
        let i = begin * topK;
        for (let row = begin; row < end; row++) {
          const base = places[row + shift]!;
          for (const last = i + topK; i < last; i++) table[base + ids[i]!]!++;
        }
      }
      counts.set(table);
      rows.set(sizes.subarray(0, rows.length));
    },
  };
}
