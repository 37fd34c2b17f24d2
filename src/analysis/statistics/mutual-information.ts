import { nLogN } from "./n-log-n.ts";

/**
 * Mutual information of whether a row used an expert and the row's label, in bits, for each expert:
 * sum over (used or not, label) of p log2(p / (p(used) p(label))), p from the counts as they are.
 *
 * The plug-in estimate is biased upwards by about (labels - 1) / (2 ln 2 rows) (Miller 1955), more when rows depend
 * on each other: compare it with what a permutation of the labels gives.
 *
 * @param counts `[labels, experts]`: rows of the label that used the expert.
 * @param rows rows per label.
 * @param out one number per expert.
 */
export function expertInformation(counts: Float64Array, rows: Float64Array, out: Float64Array): void {
  const experts = out.length;
  let total = 0;
  let fixed = 0;
  for (const n of rows) {
    total += n;
    fixed -= nLogN(n);
  }
  fixed += nLogN(total);
  for (let e = 0; e < experts; e++) {
    let used = 0;
    let sum = fixed;
    for (let l = 0; l < rows.length; l++) {
      const n = counts[l * experts + e]!;
      used += n;
      sum += nLogN(n) + nLogN(rows[l]! - n);
    }
    out[e] = bits(sum - nLogN(used) - nLogN(total - used), total);
  }
}

/**
 * Mutual information of expert and label in bits over all choices of a layer: every row counts once for each expert
 * it used. At most the entropy of the labels.
 *
 * @param counts `[labels, experts]`: rows of the label that used the expert.
 */
export function choiceInformation(counts: Float64Array, labels: number, experts: number): number {
  const perExpert = new Float64Array(experts);
  let sum = 0;
  let total = 0;
  for (let l = 0; l < labels; l++) {
    let choices = 0;
    for (let e = 0; e < experts; e++) {
      const n = counts[l * experts + e]!;
      choices += n;
      perExpert[e]! += n;
      sum += nLogN(n);
    }
    sum -= nLogN(choices);
    total += choices;
  }
  for (const n of perExpert) sum -= nLogN(n);
  return bits(sum + nLogN(total), total);
}

/** The sum cancels to 0 for independent variables; rounding must not leave it below. */
const bits = (sum: number, total: number) => (total === 0 ? 0 : Math.max(0, sum / total));
