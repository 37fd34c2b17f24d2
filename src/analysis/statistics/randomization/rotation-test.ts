import { divergenceOfCounts } from "../count-divergence.ts";
import { choiceInformation } from "../mutual-information.ts";
import {
  type LayerTest,
  permutationTests,
  type Statistics,
  type Tested,
  usageStatistics,
} from "./permutation-test.ts";
import { type Grouping, type RotatedCounts, Rotations, type SampleRows } from "./rotations.ts";

/** How far usage differs between groups, in all and group by group. */
export interface DivergenceTest {
  /** `[1]`: mutual information of (expert, group) over all choices, bits. */
  readonly whole: Tested;
  /** `[groups]`: Jensen-Shannon divergence of the group's usage from that of all other rows, nats. */
  readonly groups: Tested;
}

/** Groupings to be tested: whether each expert prefers a group, and whether groups as a whole differ. */
export interface TestedGroupings {
  readonly usage: readonly Grouping[];
  readonly divergence: readonly Grouping[];
}

/**
 * Test whether a row's group (its class of token, its place in the text) has to do with the experts it uses.
 *
 * The null hypothesis: within a sample it does not matter where the sequence of groups begins. Each permutation turns
 * every sample's groups by a random number of places against its experts. That keeps what neighbouring tokens have
 * in common, in both sequences, and what the text is about; shuffling tokens would take them as independent and
 * find significance everywhere. All groupings are turned together.
 *
 * Source: the toroidal shift test of Lotwick and Silverman (J. R. Stat. Soc. B 44, 1982), here on a line closed to a
 * ring.
 *
 * @returns a test for each grouping.
 */
export function testRotations(
  rows: SampleRows,
  { usage, divergence }: TestedGroupings,
  experts: number,
  permutations: number,
  seed: number,
): { usage: LayerTest[]; divergence: DivergenceTest[] } {
  const rotations = new Rotations(rows, [...usage, ...divergence], experts, seed);
  const statistics = rotations.counted.map(
    (of, i): Statistics<LayerTest | DivergenceTest> =>
      i < usage.length ? usageStatistics(of.counts, of.rows, experts) : divergenceStatistics(of, experts),
  );
  const tests = permutationTests(statistics, () => rotations.turn(), permutations);
  return {
    usage: tests.slice(0, usage.length) as LayerTest[],
    divergence: tests.slice(usage.length) as DivergenceTest[],
  };
}

function divergenceStatistics({ counts, rows }: RotatedCounts, experts: number): Statistics<DivergenceTest> {
  const groups = rows.length;
  const whole = new Float64Array(1);
  const each = new Float64Array(groups);
  return {
    values: [whole, each],
    compute() {
      whole[0] = choiceInformation(counts, groups, experts);
      divergenceOfCounts(counts, groups, experts, each);
    },
    result: ([all, byGroup]) => ({ whole: all!, groups: byGroup! }),
  };
}
