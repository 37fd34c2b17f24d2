import { smallest } from "../../../core/extremes.ts";

/** What counts as a finding. */
export const ALPHA = 0.05;

/**
 * The least corrected p-value that any label can have: relabelings that put the same units together under a label of
 * this size reach whatever it reaches. Labels of one unit are not tested.
 *
 * @param units of each label.
 */
export function leastLabelQ(units: readonly number[], permutations: number): number {
  const all = units.reduce((sum, n) => sum + n, 0);
  const each = units
    .filter((n) => n > 1 && all - n > 1)
    .map((n) => units.filter((other) => other === n).length / choose(all, n));
  return each.length === 0 ? 1 : Math.min(1, Math.max(1 / (permutations + 1), smallest(each)));
}

/** The fewest units a label, the same for all labels, with which a label can be a finding. */
export function unitsNeeded(labels: number): number {
  let units = 2;
  while (labels / choose(labels * units, units) > ALPHA) units++;
  return units;
}

/** The fewest texts whose flips can be a finding: 2^(1 - n) of all ways are as far from 0 in any case. */
export const TEXTS_TO_FLIP = 6;

function choose(n: number, k: number): number {
  let ways = 1;
  for (let i = 1; i <= k && ways < 1e15; i++) ways = (ways * (n - k + i)) / i;
  return ways;
}
