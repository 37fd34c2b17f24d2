import { largest } from "../../../core/extremes.ts";
import { cachedQuantile } from "../student.ts";
import { addUnits, COLUMNS } from "./add-units.ts";
import { LabelOrder } from "./label-order.ts";
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
  /** ... and half the width of its 95 % interval; Infinity where there are too few units. */
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
  const sums = new LabelSums(units, label, labels, from, to);
  const shares = new Float64Array(labels * experts);
  const perExpert = new Float64Array(experts);
  const totals = new Float64Array(1 + permutations);
  const observed = {
    differences: new Float64Array(shares.length),
    halfWidths: new Float64Array(shares.length),
  };
  sums.sum();
  totals[0] = sums.statistics(shares, perExpert);
  sums.intervals(observed);
  const ofShares = new Exceedances(shares, permutations);
  const ofExperts = new Exceedances(perExpert, permutations);
  for (let i = 0; i < permutations; i++) {
    shuffle(label, random);
    sums.sum();
    totals[i + 1] = sums.statistics(shares, perExpert);
    ofShares.add(i, shares);
    ofExperts.add(i, perExpert);
  }
  return { from, to, totals, shares: ofShares.result(), experts: ofExperts.result(), ...observed };
}

/** Sums by label of what the statistics need, for any order of the units' labels. */
class LabelSums {
  readonly #experts: number;
  readonly #labels: number;
  /** Columns of a unit, whole {@link COLUMNS}: residuals r, r², r n of each expert. */
  readonly #width: number;
  readonly #values: Float64Array;
  readonly #rows: Float64Array;
  readonly #order: LabelOrder;
  /** `[labels, width]`. */
  readonly #sums: Float64Array;
  readonly #all: Float64Array;
  /** By label: units, Σ n, Σ n². */
  readonly #units: Float64Array;
  readonly #n: Float64Array;
  readonly #nn: Float64Array;
  /** By expert s (1 - s). */
  readonly #spread: Float64Array;
  /** The label that is not summed but follows from the others. */
  readonly #largest: number;

  constructor(units: MatchedUnits, label: Int32Array, labels: number, from: number, to: number) {
    this.#experts = to - from;
    this.#labels = labels;
    this.#width = COLUMNS * Math.ceil((3 * this.#experts) / COLUMNS);
    this.#rows = units.rows;
    this.#order = new LabelOrder(label, labels);
    this.#sums = new Float64Array(labels * this.#width);
    this.#values = new Float64Array(label.length * this.#width);
    this.#all = new Float64Array(this.#width);
    this.#spread = units.shares.slice(from, to).map((share) => Math.max(0, share * (1 - share)));
    const residuals = new Float64Array(this.#experts);
    for (let unit = 0; unit < label.length; unit++) {
      units.residuals(unit, from, to, residuals);
      const at = unit * this.#width;
      residuals.forEach((r, e) => {
        this.#values[at + e] = r;
        this.#values[at + this.#experts + e] = r * r;
        this.#values[at + 2 * this.#experts + e] = r * units.rows[unit]!;
      });
      for (let i = 0; i < this.#width; i++) this.#all[i]! += this.#values[at + i]!;
    }
    this.#units = new Float64Array(labels);
    this.#n = new Float64Array(labels);
    this.#nn = new Float64Array(labels);
    for (const of of label) this.#units[of]!++;
    this.#largest = this.#units.indexOf(largest(this.#units));
  }

  /** Take the labels as they are now. */
  sum(): void {
    const order = this.#order;
    const width = this.#width;
    order.sort();
    const last = this.#sums.subarray(this.#largest * width, (this.#largest + 1) * width);
    last.set(this.#all);
    for (let l = 0; l < this.#labels; l++) {
      const [from, to] = [order.starts[l]!, order.starts[l + 1]!];
      let [n, nn] = [0, 0];
      for (let i = from; i < to; i++) {
        const rows = this.#rows[order.units[i]!]!;
        n += rows;
        nn += rows * rows;
      }
      this.#n[l] = n;
      this.#nn[l] = nn;
      if (l === this.#largest) continue;
      const sums = this.#sums.subarray(l * width, (l + 1) * width);
      for (let column = 0; column < width; column += COLUMNS)
        addUnits(this.#values, width, column, order.units, from, to, sums);
      for (let i = 0; i < width; i++) last[i]! -= sums[i]!;
    }
  }

  /**
   * @param shares takes signed squares of t, `[labels, experts]`.
   * @param perExpert takes the greatest of their amounts.
   * @returns the sum of their amounts.
   */
  statistics(shares: Float64Array, perExpert: Float64Array): number {
    const experts = this.#experts;
    perExpert.fill(0);
    const all = this.#totals();
    let total = 0;
    for (let l = 0; l < this.#labels; l++) {
      const of = this.#against(l, all);
      if (!of) {
        shares.fill(0, l * experts, (l + 1) * experts);
        continue;
      }
      const { n, nn, factor, others, binomial } = of;
      const [invN, invOthers] = [1 / n, 1 / others.n];
      for (let e = 0, at = l * this.#width, i = l * experts; e < experts; e++, at++, i++) {
        const r = this.#sums[at]!;
        const rr = this.#sums[at + experts]!;
        const rn = this.#sums[at + 2 * experts]!;
        const m = r * invN;
        const m2 = (this.#all[e]! - r) * invOthers;
        const v =
          (rr - 2 * m * rn + m * m * nn) * factor +
          (this.#all[e + experts]! - rr - 2 * m2 * (this.#all[e + 2 * experts]! - rn) + m2 * m2 * others.nn) *
            others.factor;
        const least = this.#spread[e]! * binomial;
        const variance = Math.max(v, least);
        const d = m - m2;
        const square = variance > 0 ? (d * d) / variance : 0;
        shares[i] = d < 0 ? -square : square;
        if (square > perExpert[e]!) perExpert[e] = square;
        total += square;
      }
    }
    return total;
  }

  /** Differences with half their intervals: Welch's t, degrees of freedom by Welch and Satterthwaite. */
  intervals({ differences, halfWidths }: Pick<LabelTest, "differences" | "halfWidths">): void {
    const experts = this.#experts;
    const all = this.#totals();
    halfWidths.fill(Infinity);
    for (let l = 0; l < this.#labels; l++) {
      const { n, nn, units } = { n: this.#n[l]!, nn: this.#nn[l]!, units: this.#units[l]! };
      const of = this.#against(l, all);
      for (let e = 0, at = l * this.#width, i = l * experts; e < experts; e++, at++, i++) {
        const [r, rr, rn] = [0, 1, 2].map((part) => this.#sums[at + part * experts]!) as [
          number,
          number,
          number,
        ];
        const [R, RR, RN] = [0, 1, 2].map((part) => this.#all[e + part * experts]!) as [
          number,
          number,
          number,
        ];
        const [N, NN] = [all.n - n, all.nn - nn];
        if (n === 0 || N === 0) continue;
        const [m, M] = [r / n, (R - r) / N];
        differences[i] = m - M;
        if (!of) continue;
        const v = Math.max(0, rr - 2 * m * rn + m * m * nn) * of.factor;
        const V = Math.max(0, RR - rr - 2 * M * (RN - rn) + M * M * NN) * of.others.factor;
        const variance = Math.max(v + V, this.#spread[e]! * of.binomial);
        const freedom =
          v + V > 0 ? (v + V) ** 2 / (v ** 2 / (units - 1) + V ** 2 / (all.units - units - 1)) : units - 1;
        // Where one side does not vary they are whole, but for rounding.
        const whole = Math.floor(freedom + 1e-9);
        halfWidths[i] = cachedQuantile(Math.max(1, whole)) * Math.sqrt(variance);
      }
    }
  }

  #totals() {
    const sum = (values: Float64Array) => values.reduce((total, value) => total + value, 0);
    return { n: sum(this.#n), nn: sum(this.#nn), units: sum(this.#units) };
  }

  /** A label and all others; `null` where one of them has fewer than two units, or no rows. */
  #against(l: number, all: { n: number; nn: number; units: number }) {
    const [n, nn, units] = [this.#n[l]!, this.#nn[l]!, this.#units[l]!];
    const [N, NN, others] = [all.n - n, all.nn - nn, all.units - units];
    if (units < 2 || others < 2 || n === 0 || N === 0) return null;
    const factor = (k: number, rows: number) => k / (k - 1) / (rows * rows);
    return {
      n,
      nn,
      factor: factor(units, n),
      others: { n: N, nn: NN, factor: factor(others, N) },
      binomial: 1 / n + 1 / N,
    };
  }
}
