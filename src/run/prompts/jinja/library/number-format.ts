import { fail, unsupported } from "../errors.ts";
import { points } from "../values.ts";

/** How a value is to be written: what `%5.2f` and `{:>5.2f}` say. */
export interface NumberFormat {
  readonly type: string;
  readonly precision: number | null;
  /** Whether a prefix (`0x`) or a trailing point is written. */
  readonly alternate: boolean;
}

/** The digits of a float without its sign, in the notations of C. */
export function floatDigits(value: number, { type, precision, alternate }: NumberFormat): string {
  const size = Math.abs(value);
  if (!Number.isFinite(size)) return Number.isNaN(size) ? "nan" : "inf";
  const digits = precision ?? 6;
  if (digits > 100) return unsupported(`a number with ${digits} digits`);
  const text = floatNotation(size, type.toLowerCase(), digits, alternate);
  return type === type.toUpperCase() ? text.toUpperCase() : text;
}

function floatNotation(size: number, type: string, digits: number, alternate: boolean): string {
  switch (type) {
    case "f":
      return fixed(size, digits);
    case "e":
      return exponential(size, digits);
    case "g": {
      const precision = Math.max(1, digits);
      const exponent = Number(size.toExponential(precision - 1).split("e")[1]);
      const scientific = exponent < -4 || exponent >= precision;
      const text = scientific ? exponential(size, precision - 1) : fixed(size, precision - 1 - exponent);
      return alternate ? text : text.replace(/\.?0+(?=e|$)/, (zeros) => (text.includes(".") ? "" : zeros));
    }
    case "%":
      return `${fixed(size * 100, digits)}%`;
  }
  return unsupported(`the format ${type}`);
}

/** JavaScript writes an exponent of one digit as one. */
const exponential = (size: number, digits: number) =>
  size.toExponential(digits).replace(/e([+-])(\d)$/, "e$10$2");

/** With `digits` behind the point; of two that are equally near the even one, as Python has it. */
export function fixed(size: number, digits: number): string {
  if (size >= 1e21) return BigInt(size).toString() + (digits > 0 ? `.${"0".repeat(digits)}` : "");
  const rounded = size.toFixed(digits);
  // Halves are exact in binary, and JavaScript rounds them up.
  const exact = size.toFixed(Math.min(100, digits + 30));
  const behind = exact.slice(exact.indexOf(".") + 1 + digits);
  if (!/^50*$/.test(behind) || !exact.includes(".")) return rounded;
  const down =
    digits === 0 ? exact.slice(0, exact.indexOf(".")) : exact.slice(0, exact.indexOf(".") + 1 + digits);
  return "02468".includes(down.at(-1)!) ? down : rounded;
}

/** The digits of an int without its sign. */
export function intDigits(value: bigint, { type, alternate }: NumberFormat): string {
  const size = value < 0n ? -value : value;
  switch (type) {
    case "d":
      return size.toString();
    case "x":
      return (alternate ? "0x" : "") + size.toString(16);
    case "X":
      return (alternate ? "0X" : "") + size.toString(16).toUpperCase();
    case "o":
      return (alternate ? "0o" : "") + size.toString(8);
    case "b":
      return (alternate ? "0b" : "") + size.toString(2);
  }
  return fail(`unknown format code '${type}' for an int`);
}

/** Python's `str.center`, whose odd space goes to the left where the width is odd. */
export function center(text: string, width: number, fill = " "): string {
  const missing = width - points(text).length;
  if (missing <= 0) return text;
  const left = Math.floor(missing / 2) + (missing & width & 1);
  return fill.repeat(left) + text + fill.repeat(missing - left);
}

/** Fill a text to a width. @param align `<`, `>` or `^`. */
export function pad(text: string, width: number, align: string, fill = " "): string {
  const missing = width - points(text).length;
  if (missing <= 0) return text;
  if (align === "<") return text + fill.repeat(missing);
  if (align === ">") return fill.repeat(missing) + text;
  const left = Math.floor(missing / 2);
  return fill.repeat(left) + text + fill.repeat(missing - left);
}
