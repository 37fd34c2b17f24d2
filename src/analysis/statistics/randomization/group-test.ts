import { divergenceOfCounts } from "../count-divergence.ts";
import { choiceInformation, expertInformation } from "../mutual-information.ts";
import { CriticalValues } from "./critical-values.ts";
import { Exceedances, type Tested } from "./max-t.ts";
import { columnSums, type Flips, inverseSquares, signFlips, type UnitDifferences } from "./sign-flips.ts";

/** Groups of rows within texts, such as classes of tokens or positions. */
export interface TestedGrouping {
  readonly groups: number;
  /** Rows of each group. */
  readonly rows: Float64Array;
  /** `[groups, experts]`: rows of the group that used the expert. */
  readonly counts: Float64Array;
  /** Column of {@link UnitDifferences} at which its `[groups, experts]` differences begin. */
  readonly column: number;
}

/** Whether the groups of a text's tokens have to do with the experts they use. */
export interface GroupTest {
  /** `[1]`: sum of the squared statistics of all groups and experts. */
  readonly layer: Tested;
  /** `[experts]`: the greatest squared statistic of its groups. */
  readonly experts: Tested;
  /** `[groups]`: sum of the group's squared statistics. */
  readonly groups: Tested;
  /** `[groups, experts]`: one-sided, more than elsewhere in the same texts. Signed squares. */
  readonly shares: Tested;
  /** `[groups, experts]`: the squared statistic that has a two-sided p <= 0.05 once exceeded; see `CriticalValues`. */
  readonly critical: Float64Array;
  /** Mutual information of (expert, group) over all choices, bits, and its mean when texts are flipped. */
  readonly information: number;
  readonly chanceInformation: number;
  /** `[experts]`: the same of (row used the expert, group). */
  readonly expertInformation: Float64Array;
  readonly chanceExpertInformation: Float64Array;
  /** `[groups]`: Jensen-Shannon divergence of its usage from that of all other rows, nats, and its mean. */
  readonly divergence: Float64Array;
  readonly chanceDivergence: Float64Array;
}

/** Means over chance need fewer ways than p-values. */
const CHANCE_WAYS = 99;

/**
 * Test groupings of rows within texts by flipping texts. A text's difference in a group is its rows there that used an
 * expert, less those expected from its use in the whole text: what a text is about cancels, and no order of its tokens
 * is taken for granted. A column's statistic is (Σ d)² / Σ d², with the sign of the sum. All groupings are flipped
 * together.
 *
 * Source of the differences: Mantel and Haenszel, J. Natl. Cancer Inst. 22 (1959), a text as a stratum.
 */
export function testGroupings(
  differences: UnitDifferences,
  groupings: readonly TestedGrouping[],
  experts: number,
  permutations: number,
  seed: number,
): GroupTest[] {
  const flips = signFlips(differences, permutations, seed);
  const tests = groupings.map((grouping) => new GroupingTest(grouping, differences, experts, flips));
  flips.forEach((sums, way) => {
    for (const test of tests) test.add(sums, way);
  });
  return tests.map((test) => test.result(flips.exact));
}

class GroupingTest {
  readonly #grouping: TestedGrouping;
  readonly #experts: number;
  readonly #sums: Float64Array;
  readonly #inverse: Float64Array;
  readonly #layer = new Float64Array(1);
  readonly #perExpert: Float64Array;
  readonly #perGroup: Float64Array;
  readonly #shares: Float64Array;
  readonly #tested: Readonly<Record<"layer" | "experts" | "groups" | "shares", Exceedances>>;
  readonly #critical: CriticalValues;
  readonly #chance: { ways: number; information: number; experts: Float64Array; divergence: Float64Array };

  constructor(
    grouping: TestedGrouping,
    differences: UnitDifferences,
    experts: number,
    { ways, exact }: Flips,
  ) {
    this.#grouping = grouping;
    this.#experts = experts;
    const part = (of: Float64Array) =>
      of.subarray(grouping.column, grouping.column + grouping.groups * experts);
    this.#sums = part(columnSums(differences));
    this.#inverse = part(inverseSquares(differences));
    this.#perExpert = new Float64Array(experts);
    this.#perGroup = new Float64Array(grouping.groups);
    this.#shares = new Float64Array(grouping.groups * experts);
    this.#statistics(this.#sums, 0);
    this.#tested = {
      layer: new Exceedances(this.#layer, ways),
      experts: new Exceedances(this.#perExpert, ways),
      groups: new Exceedances(this.#perGroup, ways),
      shares: new Exceedances(this.#shares, ways),
    };
    this.#critical = new CriticalValues(this.#shares.length, ways, exact);
    this.#chance = {
      ways: 0,
      information: 0,
      experts: new Float64Array(experts),
      divergence: new Float64Array(grouping.groups),
    };
  }

  add(sums: Float64Array, way: number): void {
    const { column } = this.#grouping;
    this.#statistics(sums, column);
    this.#tested.layer.add(way, this.#layer);
    this.#tested.experts.add(way, this.#perExpert);
    this.#tested.groups.add(way, this.#perGroup);
    this.#tested.shares.add(way, this.#shares);
    this.#critical.add(this.#shares);
    if (this.#chance.ways < CHANCE_WAYS) this.#addChance(sums.subarray(column, column + this.#shares.length));
  }

  result(exact: boolean): GroupTest {
    const { rows, counts } = this.#grouping;
    const { ways, information, experts, divergence } = this.#chance;
    const { whole, perExpert, perGroup } = this.#information(counts, rows);
    return {
      layer: this.#tested.layer.result(exact),
      experts: this.#tested.experts.result(exact),
      groups: this.#tested.groups.result(exact),
      shares: this.#tested.shares.result(exact),
      critical: this.#critical.result(),
      information: whole,
      chanceInformation: information / ways,
      expertInformation: perExpert,
      chanceExpertInformation: experts.map((sum) => sum / ways),
      divergence: perGroup,
      chanceDivergence: divergence.map((sum) => sum / ways),
    };
  }

  #statistics(sums: Float64Array, column: number): void {
    const experts = this.#experts;
    this.#perExpert.fill(0);
    let total = 0;
    for (let g = 0, i = 0; g < this.#perGroup.length; g++) {
      let ofGroup = 0;
      for (let e = 0; e < experts; e++, i++) {
        const sum = sums[column + i]!;
        const square = sum * sum * this.#inverse[i]!;
        this.#shares[i] = sum < 0 ? -square : square;
        if (square > this.#perExpert[e]!) this.#perExpert[e] = square;
        ofGroup += square;
      }
      this.#perGroup[g] = ofGroup;
      total += ofGroup;
    }
    this.#layer[0] = total;
  }

  /** The counts as they would be if the flipped differences were those that occurred. */
  #addChance(flipped: Float64Array): void {
    const { counts, rows } = this.#grouping;
    const made = counts.map((count, i) => Math.max(0, Math.round(count - this.#sums[i]! + flipped[i]!)));
    // A share above 1 of a small group is chance's as well as the expert's.
    for (let i = 0; i < made.length; i++) made[i] = Math.min(made[i]!, rows[Math.floor(i / this.#experts)]!);
    const { whole, perExpert, perGroup } = this.#information(made, rows);
    this.#chance.ways++;
    this.#chance.information += whole;
    for (let e = 0; e < perExpert.length; e++) this.#chance.experts[e]! += perExpert[e]!;
    for (let g = 0; g < perGroup.length; g++) this.#chance.divergence[g]! += perGroup[g]!;
  }

  #information(counts: Float64Array, rows: Float64Array) {
    const perExpert = new Float64Array(this.#experts);
    const perGroup = new Float64Array(rows.length);
    expertInformation(counts, rows, perExpert);
    divergenceOfCounts(counts, rows.length, this.#experts, perGroup);
    return { whole: choiceInformation(counts, rows.length, this.#experts), perExpert, perGroup };
  }
}
