import { RequestError } from "../../core/errors.ts";

/**
 * Wilson score interval of a proportion: where the true share lies when `count` of `rows` independent rows had it.
 * Stays inside [0, 1] and is useful at count 0, where the textbook interval has no width.
 *
 * Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), formula of `scipy.stats.binomtest(...).proportion_ci("wilson")`.
 *
 * @param confidence between 0 and 1, e.g. 0.95.
 */
export function wilsonInterval(count: number, rows: number, confidence: number): [low: number, high: number] {
  if (!(confidence > 0 && confidence < 1))
    throw new RequestError("INVALID_ARGUMENT", `confidence must lie between 0 and 1, got ${confidence}`);
  const z = normalQuantile(0.5 + confidence / 2);
  const p = count / rows;
  const scale = 1 + (z * z) / rows;
  const middle = (p + (z * z) / (2 * rows)) / scale;
  const half = (z / scale) * Math.sqrt((p * (1 - p)) / rows + (z * z) / (4 * rows * rows));
  // At the ends the exact value is 0 or 1; rounding would leave it beside.
  return [count === 0 ? 0 : middle - half, count === rows ? 1 : middle + half];
}

const CENTRE_NUM = [
  3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946, 45921.95393154987,
  67265.7709270087, 33430.57558358813, 2509.0809287301227,
];
const CENTRE_DEN = [
  1, 42.31333070160091, 687.1870074920579, 5394.196021424751, 21213.794301586597, 39307.89580009271,
  28729.085735721943, 5226.495278852854,
];
const TAIL_NUM = [
  1.4234371107496835, 4.630337846156546, 5.769497221460691, 3.6478483247632045, 1.2704582524523684,
  0.2417807251774506, 0.022723844989269184, 0.0007745450142783414,
];
const TAIL_DEN = [
  1, 2.053191626637759, 1.6763848301838038, 0.6897673349851, 0.14810397642748008, 0.015198666563616457,
  0.0005475938084995345, 1.0507500716444169e-9,
];

/**
 * Quantile of the standard normal distribution for p in [0.5, 1 - 1e-11), to about 16 digits.
 *
 * Source: M. J. Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37 (1988); its coefficients as the nearest doubles.
 */
export function normalQuantile(p: number): number {
  const q = p - 0.5;
  if (q <= 0.425) {
    const r = 0.180625 - q * q;
    return (q * polynomial(CENTRE_NUM, r)) / polynomial(CENTRE_DEN, r);
  }
  const r = Math.sqrt(-Math.log(1 - p)) - 1.6;
  return polynomial(TAIL_NUM, r) / polynomial(TAIL_DEN, r);
}

const polynomial = (coefficients: readonly number[], x: number) =>
  coefficients.reduceRight((sum, coefficient) => sum * x + coefficient, 0);
