import { fail, unsupported } from "../errors.ts";
import { isNumber, type Kwargs, points, typeName, type Value } from "../values.ts";
import { floatDigits, intDigits, pad } from "./number-format.ts";
import { repr, reprFloat, str } from "./text.ts";

const FIELD = /\{\{|\}\}|\{([^{}]*)\}|[{}]/g;
const SPEC = /^(?:([\s\S])?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?(,)?(?:\.(\d+))?([a-zA-Z%])?$/u;

/** Python's `format.format(*args, **kwargs)`. @param lookup attributes and items of a field, as in `{0.name}`. */
export function braceFormat(
  format: string,
  args: readonly Value[],
  kwargs: Kwargs,
  lookup: (value: Value, path: string) => Value,
): string {
  let next = 0n;
  return format.replace(FIELD, (whole, inside?: string) => {
    if (whole === "{{" || whole === "}}") return whole[0]!;
    if (inside === undefined) return fail(`a single '${whole}' in a format`);
    const [, name, path, conversion, spec = ""] =
      /^([^.[!:]*)((?:\.[^.[!:]+|\[[^\]]+\])*)(?:!([rsa]))?(?::([\s\S]*))?$/.exec(inside) ??
      fail(`the field {${inside}} of a format cannot be read`);
    const key = name === "" ? String(next++) : name!;
    const root = /^\d+$/.test(key) ? args[Number(key)] : kwargs.get(key);
    if (root === undefined) return fail(`there is no value for the field {${inside}} of a format`);
    const value = path ? lookup(root, path) : root;
    if (conversion === "a") return unsupported("!a in a format");
    return formatValue(conversion === "r" ? repr(value) : conversion === "s" ? str(value) : value, spec);
  });
}

function formatValue(value: Value, spec: string): string {
  if (spec === "") return str(value);
  const parts = SPEC.exec(spec) ?? fail(`the format ${JSON.stringify(spec)} cannot be read`);
  const [, fill, align, sign = "-", alternate, zero, width = "0", comma, precisionText, type] = parts;
  const precision = precisionText === undefined ? null : Number(precisionText);
  if (typeof value === "string") {
    if (type !== undefined && type !== "s") return fail(`unknown format code '${type}' for a str`);
    if (comma || alternate || align === "=")
      return fail(`the format ${JSON.stringify(spec)} is none for a str`);
    const text = precision === null ? value : [...points(value)].slice(0, precision).join("");
    return pad(text, Number(width), align ?? "<", fill ?? (zero ? "0" : " "));
  }
  if (!isNumber(value) || typeof value === "boolean")
    return unsupported(`the format ${JSON.stringify(spec)} for a ${typeName(value)}`);
  let digits = numberDigits(value, { type, precision, alternate: alternate !== undefined });
  if (comma) digits = digits.replace(/^\d+/, (whole) => whole.replace(/\B(?=(?:\d{3})+$)/g, ","));
  const shown = Number(value) < 0 || Object.is(value, -0) ? "-" : sign === "-" ? "" : sign;
  if (zero && align === undefined) {
    if (comma) return unsupported("zeros before a number with commas");
    return shown + digits.padStart(Number(width) - shown.length, "0");
  }
  if (align === "=") return shown + pad(digits, Number(width) - shown.length, ">", fill ?? " ");
  return pad(shown + digits, Number(width), align ?? ">", fill ?? " ");
}

function numberDigits(
  value: bigint | number,
  { type, precision, alternate }: { type: string | undefined; precision: number | null; alternate: boolean },
): string {
  if (typeof value === "bigint" && (type === undefined || "dxXob".includes(type)))
    return intDigits(value, { type: type ?? "d", precision, alternate });
  if (type === undefined) {
    if (precision !== null) return unsupported("a precision without a type in a format");
    return reprFloat(Math.abs(Number(value)));
  }
  if ("dxXob".includes(type)) return fail(`unknown format code '${type}' for a float`);
  return floatDigits(Number(value), { type, precision, alternate });
}
