/**
 * Logarithm of a bound of the chance that `n` independent numbers between 0 and 1 have a mean of at least `mean`,
 * where `expected` is expected: -n KL(mean ‖ expected). It holds whatever their distribution and for every n, so it
 * needs no normal distribution far out in its tail, where corrections for millions of tests look.
 *
 * Source: Hoeffding, J. Am. Stat. Assoc. 58 (1963), theorem 1.
 */
export const logTailBound = (mean: number, expected: number, n: number): number =>
  mean <= expected ? 0 : -n * divergence(Math.min(1, mean), expected);

/** The least expectation that {@link logTailBound} does not reject at `level`: the lower end of an interval. */
export function leastExpectation(mean: number, n: number, level: number): number {
  const most = -Math.log(level) / n;
  let [low, high] = [0, Math.min(1, mean)];
  while (high - low > 1e-9 * high) {
    const middle = (low + high) / 2;
    if (divergence(Math.min(1, mean), middle) > most) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Of two coins, nats. */
function divergence(p: number, q: number): number {
  if (q <= 0) return p > 0 ? Infinity : 0;
  if (q >= 1) return p < 1 ? Infinity : 0;
  return (p > 0 ? p * Math.log(p / q) : 0) + (p < 1 ? (1 - p) * Math.log((1 - p) / (1 - q)) : 0);
}
