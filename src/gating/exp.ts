/** Table entries an octave. */
const STEPS = 64;
/** The table reaches from e^-88 to e^88, the range of single precision. */
export const EXP_REACH = 88;
const STEPS_PER_NAT = STEPS / Math.LN2;
const PER_STEP = Math.LN2 / STEPS;
/** Where 2^0 is. */
const MIDDLE = Math.ceil(EXP_REACH * STEPS_PER_NAT);

/** 2^((i - MIDDLE) / 64). */
const POWERS = Float64Array.from({ length: 2 * MIDDLE + 1 }, (_, i) => 2 ** ((i - MIDDLE) / STEPS));

/**
 * e^x, some three times as fast as `Math.exp`; relative error below 4e-11.
 *
 * x = n ln 2 / 64 + r with |r| <= ln 2 / 128, so e^x = 2^(n / 64) e^r, and four terms of e^r's series do. Source: P. T. P.
 * Tang, "Table-driven implementation of the exponential function in IEEE floating-point arithmetic", ACM TOMS 15 (1989).
 */
export function fastExp(x: number): number {
  // NaN as well.
  return Math.abs(x) < EXP_REACH ? expWithinReach(x) : Math.exp(x);
}

/** {@link fastExp} of an x that is known to lie within {@link EXP_REACH} of 0: a loop around it makes no calls. */
export function expWithinReach(x: number): number {
  const i = (x * STEPS_PER_NAT + (MIDDLE + 0.5)) | 0;
  const r = x - (i - MIDDLE) * PER_STEP;
  return POWERS[i]! * (1 + r * (1 + r * (0.5 + r * (1 / 6))));
}
