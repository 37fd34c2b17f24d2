import { cachedQuantile } from "../student.ts";
import { COLUMNS } from "./add-units.ts";
import { CriticalValues, halfWidth } from "./critical-values.ts";
import { LabelOrder } from "./label-order.ts";
import { LabelSums } from "./label-sums.ts";
import type { MatchedUnits } from "./matched-units.ts";
import { Exceedances, joined, type Tested } from "./max-t.ts";
import { seededRandom, shuffle } from "./random.ts";

/** Whether the labels of a layer's units have to do with the experts they use. */
export interface LabelTest {
  /** `[1]`: sum of the squared statistics of all labels and experts. */
  readonly layer: Tested;
  /** `[experts]`: the greatest squared statistic of its labels, whatever the sign. */
  readonly experts: Tested;
  /** `[labels, experts]`: the label against all others, one-sided: more than the others. Signed squares. */
  readonly shares: Tested;
  /** `[labels, experts]`: share of the label less that of all others, at the same positions. */
  readonly differences: Float64Array;
  /**
   * ... and half the width of its 95 % interval, from the same permutations: it excludes 0 exactly where the two-sided p of
   * this difference is at most 0.05. Without permutations, where there is no test to agree with, from Welch's t. Infinity
   * where there are too few units.
   */
  readonly halfWidths: Float64Array;
}

/** Numbers of a block of experts that are permuted at a time: 64 MB. */
const BLOCK_VALUES = 2 ** 23;

/**
 * Test the labels of units against their being permuted. Each label is compared with all others together, by Welch's
 * statistic of clusters: t = (m - M) / sqrt(max(v + V, b)). m and M are sums of the residuals over the rows of the
 * label and of the others; v and V are the variances of these ratios with a unit as one observation,
 * k / (k - 1) Σ (r - m n)² / (Σ n)²; b = s (1 - s) (1 / n + 1 / N) is the variance that independent rows would have,
 * which is the least: a few units that happen to agree are no certainty.
 *
 * Studentised so, permutations keep the level when units differ in length between labels, which permuted shares do not
 * (Chung and Romano, Ann. Statist. 41, 2013; Janssen, Stat. Probab. Lett. 36, 1997). A label of one unit is not tested.
 */
export function testLabels(
  units: MatchedUnits,
  labels: number,
  experts: number,
  permutations: number,
  seed: number,
): LabelTest {
  const perBlock = Math.max(COLUMNS, Math.floor(BLOCK_VALUES / Math.max(1, units.label.length) / 3));
  const blocks: BlockTest[] = [];
  for (let from = 0; from < Math.max(1, experts); from += perBlock)
    blocks.push(testBlock(units, labels, from, Math.min(experts, from + perBlock), permutations, seed));
  const totals = blocks[0]!.totals;
  for (const { totals: more } of blocks.slice(1))
    for (let i = 0; i < totals.length; i++) totals[i]! += more[i]!;
  const layer = new Exceedances(totals.subarray(0, 1), permutations);
  for (let i = 0; i < permutations; i++) layer.add(i, totals.subarray(i + 1, i + 2));
  const byExpert = (of: (block: BlockTest) => Float64Array) => inOrder(blocks, of, labels, experts);
  return {
    layer: layer.result(),
    experts: joined(blocks.map((block) => block.experts)),
    shares: {
      observed: byExpert(({ shares }) => shares.observed),
      pValues: byExpert(({ shares }) => shares.pValues),
      maxima: joined(blocks.map(({ shares }) => shares)).maxima,
      exact: false,
    },
    differences: byExpert(({ differences }) => differences),
    halfWidths: byExpert(({ halfWidths }) => halfWidths),
  };
}

/** A test of some of the experts. */
interface BlockTest extends Omit<LabelTest, "layer"> {
  readonly experts: Tested;
  readonly shares: Tested;
  readonly from: number;
  readonly to: number;
  /** `[1 + permutations]`: sum of the squared statistics, of the data as they stand first. */
  readonly totals: Float64Array;
}

/** `[labels, experts of a block]` of all blocks as `[labels, experts]`. */
function inOrder(
  blocks: readonly BlockTest[],
  of: (block: BlockTest) => Float64Array,
  labels: number,
  experts: number,
): Float64Array {
  const out = new Float64Array(labels * experts);
  for (const block of blocks)
    for (let l = 0, width = block.to - block.from; l < labels; l++)
      out.set(of(block).subarray(l * width, (l + 1) * width), l * experts + block.from);
  return out;
}

function testBlock(
  units: MatchedUnits,
  labels: number,
  from: number,
  to: number,
  permutations: number,
  seed: number,
): BlockTest {
  const experts = to - from;
  const label = units.label.slice();
  const random = seededRandom(seed);
  const sums = new LabelSums(units, labels, from, to);
  const shares = new Float64Array(labels * experts);
  const perExpert = new Float64Array(experts);
  const totals = new Float64Array(1 + permutations);
  const orders = Array.from(
    { length: Math.max(1, Math.min(sums.orders, permutations)) },
    () => new LabelOrder(label, labels),
  );
  orders[0]!.sort();
  sums.sum(orders.slice(0, 1));
  totals[0] = sums.statistics(0, shares, perExpert);
  const { differences, standardErrors, freedom } = sums.differences();
  const critical = new CriticalValues(shares.length, permutations, false);
  const ofShares = new Exceedances(shares, permutations);
  const ofExperts = new Exceedances(perExpert, permutations);
  for (let first = 0; first < permutations; first += orders.length) {
    const now = orders.slice(0, permutations - first);
    for (const order of now) {
      shuffle(label, random);
      order.sort();
    }
    sums.sum(now);
    for (let i = 0; i < now.length; i++) {
      totals[first + i + 1] = sums.statistics(i, shares, perExpert);
      critical.add(shares);
      ofShares.add(first + i, shares);
      ofExperts.add(first + i, perExpert);
    }
  }
  const values = critical.result();
  const halfWidths = standardErrors.map((error, i) => {
    if (error === Infinity) return Infinity;
    return permutations === 0 ? cachedQuantile(freedom[i]!) * error : halfWidth(values[i]!, error);
  });
  return {
    from,
    to,
    totals,
    shares: ofShares.result(),
    experts: ofExperts.result(),
    differences,
    halfWidths,
  };
}
