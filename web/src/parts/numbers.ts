import { percent as percentOf, withHalfWidth } from "../../../src/views/numbers.ts";

const THREE = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** At most three significant digits. */
export const amount = (value: number): string =>
  Number.isNaN(value) ? "–" : !Number.isFinite(value) ? "∞" : THREE.format(value).replace("-", "−");

/** A count, whole. */
export const count = (value: number): string => WHOLE.format(value);

export const percent = (part: number): string => (Number.isNaN(part) ? "–" : percentOf(part));

export const plural = (n: number, one: string, many = `${one}s`): string =>
  `${count(n)} ${n === 1 ? one : many}`;

/** A p- or q-value; a permutation test has a least value it can give. */
export const probability = (value: number): string =>
  value < 0.001 ? "< 0.001" : value.toFixed(value < 0.1 ? 3 : 2);

/** A difference of shares in points of a hundred with half its 95 % interval: `+3.25 ± 1.2`. */
export const pointsWithInterval = (difference: number, halfWidth: number | null): string =>
  withHalfWidth(difference, halfWidth, (value) => `${value > 0 ? "+" : ""}${amount(100 * value)}`);
