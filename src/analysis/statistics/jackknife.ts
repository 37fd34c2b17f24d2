/** 97.5 % quantile of the standard normal distribution. */
const NORMAL = 1.959963984540054;

/**
 * Half the width of the 95 % interval of sum(parts) / sum(totals), an entry an observation: the delete-one jackknife
 * (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11).
 *
 * @returns `null` where leaving one observation out leaves nothing: one tells nothing of others.
 */
export function jackknifeHalfWidth(parts: readonly number[], totals: readonly number[]): number | null {
  const n = parts.length;
  const part = parts.reduce((sum, value) => sum + value, 0);
  const total = totals.reduce((sum, value) => sum + value, 0);
  if (n < 2 || totals.includes(total)) return null;
  const without = parts.map((value, i) => (part - value) / (total - totals[i]!));
  const mean = without.reduce((sum, value) => sum + value, 0) / n;
  const squares = without.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return NORMAL * Math.sqrt(((n - 1) / n) * squares);
}
