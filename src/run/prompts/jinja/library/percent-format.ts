import { fail, unsupported } from "../errors.ts";
import {
  Dict,
  isNumber,
  orElse,
  points,
  sizeOf,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from "../values.ts";
import { floatDigits, intDigits, pad } from "./number-format.ts";
import { repr, str } from "./text.ts";

const FIELD =
  /%(?:\((?<key>[^)]*)\))?(?<flags>[-+ 0#]*)(?<width>\*|\d+)?(?:\.(?<precision>\*|\d+)?)?[hlL]?(?<type>[\s\S])?/g;

/** Python's `format % values`. */
export function percentFormat(format: string, values: Value): string {
  const list = values instanceof Tuple ? values.items : [values];
  let index = 0;
  let mapped = false;
  const text = format.replace(FIELD, (...match) => {
    const { key, flags, width, precision, type } = match.at(-1) as Record<string, string | undefined>;
    if (type === undefined) return fail("incomplete format");
    if (type === "%") return "%";
    if (width === "*" || precision === "*") return unsupported("a width of * in a format");
    let value: Value | undefined;
    if (key !== undefined) {
      if (!(values instanceof Dict)) return fail("format requires a mapping");
      mapped = true;
      value = orElse(values.get(key), () => fail(`there is no ${repr(key)} for the format`));
    } else value = list[index++];
    if (value === undefined) return fail("not enough arguments for format string");
    const digits = match[0].includes(".") ? Number(precision ?? 0) : null;
    return field(value, type, flags!, Number(width ?? 0), digits);
  });
  // Python takes whatever has items for a mapping, whose values need not all be used.
  const optional = !(values instanceof Tuple) && textOf(values) === undefined && sizeOf(values) !== undefined;
  if (index < list.length && !mapped && !optional)
    return fail("not all arguments converted during string formatting");
  return text;
}

function field(value: Value, type: string, flags: string, width: number, precision: number | null): string {
  const left = flags.includes("-");
  if ("sra".includes(type)) {
    if (type === "a") return unsupported("%a in a format");
    const text = type === "s" ? str(value) : repr(value);
    const cut = precision === null ? text : [...points(text)].slice(0, precision).join("");
    return pad(cut, width, left ? "<" : ">");
  }
  if (type === "c") {
    const character = typeof value === "bigint" ? String.fromCodePoint(Number(value)) : str(value);
    return pad(character, width, left ? "<" : ">");
  }
  if (value instanceof Undefined) return value.fail();
  if (!isNumber(value)) return fail(`%${type} format: a real number is required, not ${typeName(value)}`);
  const alternate = flags.includes("#");
  let digits: string;
  if ("diu".includes(type)) {
    const whole = typeof value === "number" ? BigInt(Math.trunc(value)) : BigInt(value);
    digits = intDigits(whole, { type: "d", precision, alternate }).padStart(precision ?? 0, "0");
  } else if ("xXo".includes(type)) {
    if (typeof value === "number") return fail(`%${type} format: an integer is required, not float`);
    digits = intDigits(BigInt(value), { type, precision, alternate });
  } else if ("eEfFgG".includes(type)) digits = floatDigits(Number(value), { type, precision, alternate });
  else return fail(`unsupported format character '${type}'`);
  const negative = Number(value) < 0 || Object.is(value, -0);
  const sign = negative ? "-" : flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
  if (flags.includes("0") && !left) return sign + digits.padStart(width - sign.length, "0");
  return pad(sign + digits, width, left ? "<" : ">");
}
