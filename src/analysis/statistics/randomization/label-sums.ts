import { largest } from "../../../core/extremes.ts";
import { addUnits, COLUMNS, UnitBlocks } from "./add-units.ts";
import type { LabelOrder } from "./label-order.ts";
import type { MatchedUnits } from "./matched-units.ts";

/** Sums in memory at a time, 128 KB: those of several orders, so that a block of the units is read once for all of them. */
const MOST_SUMS = 2 ** 14;
const MOST_ORDERS = 16;

/** Units, Σ n and Σ n² of a label or of all others, and k / (k - 1) / (Σ n)². */
interface Side {
  readonly units: number;
  readonly n: number;
  readonly nn: number;
  readonly factor: number;
}

/** Sums by label of what the statistics of some experts need, for any order of the units' labels. */
export class LabelSums {
  /** Orders that can be summed at a time. */
  readonly orders: number;
  readonly #experts: number;
  readonly #labels: number;
  /** Of each unit the residual r, r² and r n of each expert. */
  readonly #values: UnitBlocks;
  readonly #rows: Float64Array;
  /** `[orders, labels, width]`. */
  readonly #sums: Float64Array;
  /** `[width]`: of all labels. */
  readonly #all: Float64Array;
  /** By label its units, which no order changes. */
  readonly #units: Float64Array;
  /** `[orders, labels]`: Σ n and Σ n². */
  readonly #n: Float64Array;
  readonly #nn: Float64Array;
  /** By expert s (1 - s). */
  readonly #spread: Float64Array;
  /** The label that is not summed but follows from the others, where that is less to add; else -1. */
  readonly #left: number;

  constructor(units: MatchedUnits, labels: number, from: number, to: number) {
    const experts = to - from;
    this.#experts = experts;
    this.#labels = labels;
    this.#values = new UnitBlocks(units.label.length, 3 * experts);
    const { width } = this.#values;
    this.orders = Math.max(1, Math.min(MOST_ORDERS, Math.floor(MOST_SUMS / Math.max(1, labels * width))));
    this.#rows = units.rows;
    this.#sums = new Float64Array(this.orders * labels * width);
    this.#n = new Float64Array(this.orders * labels);
    this.#nn = new Float64Array(this.orders * labels);
    this.#all = new Float64Array(width);
    this.#spread = units.shares.slice(from, to).map((share) => Math.max(0, share * (1 - share)));
    const residuals = new Float64Array(experts);
    const set = (unit: number, column: number, value: number) => {
      this.#values.add(unit, column, value);
      this.#all[column]! += value;
    };
    for (let unit = 0; unit < units.label.length; unit++) {
      units.residuals(unit, from, to, residuals);
      for (let e = 0; e < experts; e++) {
        const r = residuals[e]!;
        set(unit, e, r);
        set(unit, experts + e, r * r);
        set(unit, 2 * experts + e, r * units.rows[unit]!);
      }
    }
    this.#units = new Float64Array(labels);
    for (const of of units.label) this.#units[of]!++;
    const most = largest(this.#units);
    this.#left = most > 2 * labels ? this.#units.indexOf(most) : -1;
  }

  /** Take the labels as some orders have them. */
  sum(orders: readonly LabelOrder[]): void {
    const { width, blocks } = this.#values;
    const labels = this.#labels;
    const sums = this.#sums;
    blocks.forEach((block, b) => {
      orders.forEach(({ units, starts }, i) => {
        for (let l = 0; l < labels; l++)
          if (l !== this.#left)
            addUnits(block, units, starts[l]!, starts[l + 1]!, sums, (i * labels + l) * width + b * COLUMNS);
      });
    });
    orders.forEach((order, i) => {
      this.#addRows(order, i);
      const of = (label: number) =>
        sums.subarray((i * labels + label) * width, (i * labels + label + 1) * width);
      if (this.#left < 0) return;
      const last = of(this.#left);
      last.set(this.#all);
      for (let l = 0; l < labels; l++) if (l !== this.#left) subtract(last, of(l));
    });
  }

  #addRows({ units, starts }: LabelOrder, order: number): void {
    const rows = this.#rows;
    for (let l = 0, at = order * this.#labels; l < this.#labels; l++, at++) {
      let [n, nn] = [0, 0];
      for (let i = starts[l]!; i < starts[l + 1]!; i++) {
        const own = rows[units[i]!]!;
        n += own;
        nn += own * own;
      }
      this.#n[at] = n;
      this.#nn[at] = nn;
    }
  }

  /**
   * @param order which of those that were summed.
   * @param shares takes signed squares of t, `[labels, experts]`.
   * @param perExpert takes the greatest of their amounts.
   * @returns the sum of their amounts.
   */
  statistics(order: number, shares: Float64Array, perExpert: Float64Array): number {
    const experts = this.#experts;
    const sums = this.#sums;
    const all = this.#all;
    const spread = this.#spread;
    perExpert.fill(0);
    let total = 0;
    for (let l = 0; l < this.#labels; l++) {
      const sides = this.#sides(order, l);
      if (!sides) {
        shares.fill(0, l * experts, (l + 1) * experts);
        continue;
      }
      const [{ n, nn, factor }, { n: N, nn: NN, factor: ofOthers }] = sides;
      const [invN, invOthers, binomial] = [1 / n, 1 / N, 1 / n + 1 / N];
      const [a, b] = [experts, 2 * experts];
      for (let e = 0, at = (order * this.#labels + l) * this.#values.width, i = l * experts; e < experts; ) {
        const r = sums[at]!;
        const rr = sums[at + a]!;
        const rn = sums[at + b]!;
        const m = r * invN;
        const M = (all[e]! - r) * invOthers;
        const v =
          (rr - 2 * m * rn + m * m * nn) * factor +
          (all[e + a]! - rr - 2 * M * (all[e + b]! - rn) + M * M * NN) * ofOthers;
        const least = spread[e]! * binomial;
        const variance = Math.max(v, least);
        const d = m - M;
        // Without a branch on the sign, which nothing could foretell.
        const signed = variance > 0 ? (d * Math.abs(d)) / variance : 0;
        const square = Math.abs(signed);
        shares[i] = signed;
        perExpert[e] = Math.max(perExpert[e]!, square);
        total += square;
        e++;
        at++;
        i++;
      }
    }
    return total;
  }

  /**
   * Differences of the first order with their standard errors, the root of the variance that the statistic has, and
   * degrees of freedom by Welch and Satterthwaite.
   */
  differences(): { differences: Float64Array; standardErrors: Float64Array; freedom: Float64Array } {
    const experts = this.#experts;
    const differences = new Float64Array(this.#labels * experts);
    const freedom = new Float64Array(this.#labels * experts).fill(1);
    const standardErrors = new Float64Array(this.#labels * experts).fill(Infinity);
    for (let l = 0; l < this.#labels; l++) {
      const [own, others] = this.#both(0, l);
      if (own.n === 0 || others.n === 0) continue;
      const tested = this.#sides(0, l) !== null;
      for (let e = 0, i = l * experts; e < experts; e++, i++) {
        const [r, rr, rn] = [0, 1, 2].map(
          (part) => this.#sums[l * this.#values.width + e + part * experts]!,
        ) as [number, number, number];
        const [R, RR, RN] = [0, 1, 2].map((part) => this.#all[e + part * experts]!) as [
          number,
          number,
          number,
        ];
        const [m, M] = [r / own.n, (R - r) / others.n];
        differences[i] = m - M;
        if (!tested) continue;
        const v = Math.max(0, rr - 2 * m * rn + m * m * own.nn) * own.factor;
        const V = Math.max(0, RR - rr - 2 * M * (RN - rn) + M * M * others.nn) * others.factor;
        const whole =
          v + V > 0 ? (v + V) ** 2 / (v ** 2 / (own.units - 1) + V ** 2 / (others.units - 1)) : own.units - 1;
        // Where one side does not vary they are whole, but for rounding.
        freedom[i] = Math.max(1, Math.floor(whole + 1e-9));
        standardErrors[i] = Math.sqrt(Math.max(v + V, this.#spread[e]! * (1 / own.n + 1 / others.n)));
      }
    }
    return { differences, standardErrors, freedom };
  }

  /** A label and all others; `null` where one of them has fewer than two units, or no rows: it is not tested. */
  #sides(order: number, label: number): readonly [Side, Side] | null {
    const sides = this.#both(order, label);
    return sides.every(({ units, n }) => units > 1 && n > 0) ? sides : null;
  }

  #both(order: number, label: number): readonly [Side, Side] {
    const at = order * this.#labels;
    let [units, n, nn] = [0, 0, 0];
    for (let l = 0; l < this.#labels; l++) {
      units += this.#units[l]!;
      n += this.#n[at + l]!;
      nn += this.#nn[at + l]!;
    }
    const side = (k: number, rows: number, squares: number): Side => ({
      units: k,
      n: rows,
      nn: squares,
      factor: k / (k - 1) / (rows * rows),
    });
    const [own, ownN, ownNn] = [this.#units[label]!, this.#n[at + label]!, this.#nn[at + label]!];
    return [side(own, ownN, ownNn), side(units - own, n - ownN, nn - ownNn)];
  }
}

function subtract(from: Float64Array, values: Float64Array): void {
  for (let i = 0; i < from.length; i++) from[i]! -= values[i]!;
}
