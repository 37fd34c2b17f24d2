/**
 * Quantile of Student's t distribution.
 *
 * @param p from 0.5 to below 1.
 * @param degrees of freedom, above 0; `Infinity` is the normal distribution.
 */
export function studentQuantile(p: number, degrees: number): number {
  if (p <= 0.5) return 0;
  if (degrees > 1e7) return quantile((t) => 1 - normalTail(t), p);
  return quantile((t) => 1 - studentTail(t, degrees), p);
}

const QUANTILES = new Map<number, number>();

/** 97.5 % quantile of Student's t. */
export function cachedQuantile(degrees: number): number {
  let found = QUANTILES.get(degrees);
  if (found === undefined) {
    found = studentQuantile(0.975, degrees);
    QUANTILES.set(degrees, found);
  }
  return found;
}

/** P(|T| > t) of Student's t, t from 0. */
export const studentTwoSided = (t: number, degrees: number): number =>
  t === Infinity ? 0 : 2 * studentTail(t, degrees);

/** P(T > t), t from 0: half the regularised incomplete beta function of degrees / (degrees + t²). */
function studentTail(t: number, degrees: number): number {
  return incompleteBeta(degrees / (degrees + t * t), degrees / 2, 0.5) / 2;
}

/** P(Z > z) as the limit of many degrees of freedom. */
const normalTail = (z: number) => studentTail(z, 1e7);

/** The place where an increasing function reaches `p`, by bisection. */
function quantile(cumulative: (t: number) => number, p: number): number {
  let high = 1;
  while (cumulative(high) < p) high *= 2;
  let low = 0;
  for (let i = 0; i < 200 && high - low > 1e-13 * high; i++) {
    const middle = (low + high) / 2;
    if (cumulative(middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/**
 * Regularised incomplete beta function I_x(a, b).
 *
 * Source: its continued fraction (Abramowitz and Stegun 26.5.8), summed by Lentz's method.
 */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  return x < (a + 1) / (a + b + 2)
    ? (front * betaFraction(x, a, b)) / a
    : 1 - (front * betaFraction(1 - x, b, a)) / b;
}

function betaFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  const safe = (value: number) => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / safe(1 - ((a + b) * x) / (a + 1));
  let h = d;
  for (let m = 1; m < 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / safe(1 + even * d);
    c = safe(1 + even / c);
    h *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / safe(1 + odd * d);
    c = safe(1 + odd / c);
    const step = d * c;
    h *= step;
    if (Math.abs(step - 1) < 1e-15) break;
  }
  return h;
}

const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** ln of the gamma function for x above 0, to about 14 digits (Lanczos' approximation, g = 7). */
function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const at = x - 1;
  const sum = LANCZOS.reduce((total, value, i) => (i === 0 ? value : total + value / (at + i)), 0);
  const t = at + 7.5;
  return 0.5 * Math.log(2 * Math.PI) + (at + 0.5) * Math.log(t) - t + Math.log(sum);
}
