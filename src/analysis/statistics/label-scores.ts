import { cachedQuantile } from "./student.ts";

/** Values `[groups, experts]` with half the width of their 95 % intervals; Infinity where there are too few units. */
export interface Scores {
  readonly values: Float64Array;
  readonly halfWidths: Float64Array;
}

/**
 * Normalised pointwise mutual information of "a choice fell on expert e" and "it was of group g":
 * ln(p(e, g) / (p(e) p(g))) / -ln p(e, g). 1: the group alone uses it and it alone; 0: independent; -1: never together.
 *
 * Source: Bouma, "Normalized (Pointwise) Mutual Information in Collocation Extraction", GSCL 2009. Intervals: the
 * delete-one jackknife over units (Efron and Tibshirani 1993, chapter 11) with Student's t.
 *
 * @param counts `[units, experts]`: choices.
 * @param groupOf of each unit.
 */
export function npmi(counts: Float64Array, groupOf: Int32Array, groups: number, experts: number): Scores {
  const units = groupOf.length;
  const table = new Float64Array(groups * experts);
  for (let unit = 0; unit < units; unit++)
    for (let e = 0; e < experts; e++) table[groupOf[unit]! * experts + e]! += counts[unit * experts + e]!;
  const values = npmiOfTable(table, groups, experts, new Float64Array(groups * experts));
  const sum = new Float64Array(values.length);
  const squares = new Float64Array(values.length);
  const without = new Float64Array(values.length);
  for (let unit = 0; unit < units; unit++) {
    const at = groupOf[unit]! * experts;
    for (let e = 0; e < experts; e++) table[at + e]! -= counts[unit * experts + e]!;
    npmiOfTable(table, groups, experts, without);
    for (let e = 0; e < experts; e++) table[at + e]! += counts[unit * experts + e]!;
    // Differences from the estimate are small: their squares do not cancel.
    for (let i = 0; i < without.length; i++) {
      const d = without[i]! - values[i]!;
      sum[i]! += d;
      squares[i]! += d * d;
    }
  }
  const t = units > 1 ? cachedQuantile(units - 1) : Infinity;
  const halfWidths = values.map((value, i) =>
    units > 1 && value > -1
      ? t * Math.sqrt(((units - 1) / units) * Math.max(0, squares[i]! - (sum[i]! * sum[i]!) / units))
      : Infinity,
  );
  return { values, halfWidths };
}

function npmiOfTable(table: Float64Array, groups: number, experts: number, out: Float64Array): Float64Array {
  const ofGroup = new Float64Array(groups);
  const ofExpert = new Float64Array(experts);
  let total = 0;
  for (let g = 0; g < groups; g++)
    for (let e = 0; e < experts; e++) {
      const n = table[g * experts + e]!;
      ofGroup[g]! += n;
      ofExpert[e]! += n;
      total += n;
    }
  for (let g = 0; g < groups; g++)
    for (let e = 0; e < experts; e++) {
      const n = table[g * experts + e]!;
      out[g * experts + e] =
        n === 0
          ? -1
          : n === total
            ? 1
            : Math.log((n * total) / (ofExpert[e]! * ofGroup[g]!)) / -Math.log(n / total);
    }
  return out;
}

/**
 * The mean over a group's texts of a number that each text has for each expert, with Student's interval, a text (or
 * a unit of some) as one observation.
 *
 * @param sums `[units, experts]`: over the texts of a unit.
 * @param texts of each unit.
 */
export function meansByText(
  sums: Float64Array,
  texts: Float64Array,
  groupOf: Int32Array,
  groups: number,
  experts: number,
): Scores {
  const values = new Float64Array(groups * experts);
  const halfWidths = new Float64Array(groups * experts).fill(Infinity);
  for (let g = 0; g < groups; g++) {
    const members = [...groupOf.keys()].filter((unit) => groupOf[unit] === g);
    const total = members.reduce((sum, unit) => sum + texts[unit]!, 0);
    const k = members.length;
    for (let e = 0; e < experts; e++) {
      const mean = members.reduce((sum, unit) => sum + sums[unit * experts + e]!, 0) / total;
      values[g * experts + e] = mean;
      if (k < 2) continue;
      const squares = members.reduce(
        (sum, unit) => sum + (sums[unit * experts + e]! - mean * texts[unit]!) ** 2,
        0,
      );
      halfWidths[g * experts + e] = (cachedQuantile(k - 1) * Math.sqrt((squares * k) / (k - 1))) / total;
    }
  }
  return { values, halfWidths };
}

/**
 * The experts of most score that together reach `part` of the scores, best first: ESFT's choice of those to train
 * (Wang et al., arXiv:2407.01906, equation 7).
 */
export function expertsReaching(scores: ArrayLike<number>, part: number): number[] {
  const order = Array.from(scores, (_, e) => e).sort((a, b) => scores[b]! - scores[a]! || a - b);
  const chosen: number[] = [];
  let reached = 0;
  for (const expert of order) {
    if (reached >= part) break;
    chosen.push(expert);
    reached += scores[expert]!;
  }
  return chosen;
}
