/** How far apart two routers are in one row, in nats; both NaN where a logit of one of them is NaN or infinite. */
export interface Divergence {
  /** Kullback-Leibler divergence KL(A || B): sum p ln(p / q). From 0 to infinity. */
  kl: number;
  /** Jensen-Shannon divergence: the mean of KL(A || M) and KL(B || M), M the mean of A and B. From 0 to ln 2. */
  js: number;
}

/**
 * Divergence of p = softmax(a) and q = softmax(b), each `experts` router logits. The softmax is taken whatever the
 * model's own scores are (sigmoid, say), as for the routing entropy: the numbers of two captures of one model compare.
 *
 * Sources: Kullback and Leibler, Ann. Math. Statist. 22 (1951), `scipy.stats.entropy(p, q)`; Lin, IEEE Trans. Inf.
 * Theory 37 (1991), the square of `scipy.spatial.distance.jensenshannon(p, q)`.
 *
 * @param out takes the result, so that a million rows need no million objects.
 */
export function divergence(
  a: Float32Array,
  atA: number,
  b: Float32Array,
  atB: number,
  experts: number,
  out: Divergence,
): void {
  const logZa = logSumExp(a, atA, experts);
  const logZb = logSumExp(b, atB, experts);
  let kl = 0;
  let js = 0;
  for (let e = 0; e < experts; e++) {
    // In logarithms: q may be too small for a double and still have a logarithm.
    const logP = a[atA + e]! - logZa;
    const logQ = b[atB + e]! - logZb;
    const p = Math.exp(logP);
    const q = Math.exp(logQ);
    if (p > 0) {
      kl += p * (logP - logQ);
      js += p * Math.log((2 * p) / (p + q));
    }
    if (q > 0) js += q * Math.log((2 * q) / (p + q));
  }
  // Rounding below 0 is no divergence. From NaN and +Infinity no probabilities follow, so that both are NaN.
  const defined = Number.isFinite(logZa) && Number.isFinite(logZb);
  out.kl = defined ? Math.max(0, kl) : Number.NaN;
  out.js = defined ? Math.max(0, js / 2) : Number.NaN;
}

function logSumExp(values: Float32Array, from: number, count: number): number {
  let max = -Infinity;
  for (let i = from; i < from + count; i++) max = Math.max(max, values[i]!);
  let sum = 0;
  for (let i = from; i < from + count; i++) sum += Math.exp(values[i]! - max);
  return max + Math.log(sum);
}
