const THREE = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** At most three significant digits. */
export const amount = (value: number): string =>
  Number.isNaN(value) ? "–" : !Number.isFinite(value) ? "∞" : THREE.format(value).replace("-", "−");

/** A count, whole. */
export const count = (value: number): string => WHOLE.format(value);

export const percent = (part: number): string => (Number.isNaN(part) ? "–" : `${amount(100 * part)} %`);

export const plural = (n: number, one: string, many = `${one}s`): string =>
  `${count(n)} ${n === 1 ? one : many}`;

/** A p- or q-value; a permutation test has a least value it can give. */
export const probability = (value: number): string =>
  value < 0.001 ? "< 0.001" : value.toFixed(value < 0.1 ? 3 : 2);

export function bytes(value: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  const step = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
  return `${amount(value / 1000 ** step)} ${units[step]}`;
}

export function parameters(value: number): string {
  const units = ["", " K", " M", " B", " T"];
  const step = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
  return `${amount(value / 1000 ** step)}${units[step]}`;
}
