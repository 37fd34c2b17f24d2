import { unsupported } from "../errors.ts";
import {
  type Attributes,
  Callable,
  Dict,
  Lazy,
  Markup,
  Range,
  Tuple,
  Undefined,
  type Value,
  View,
} from "../values.ts";

/** Python's `str(value)`: what `{{ value }}` writes. */
export function str(value: Value): string {
  if (typeof value === "string") return value;
  if (value instanceof Markup) return value.text;
  if (value instanceof Undefined) return "";
  return repr(value);
}

/** Python's `repr(value)`. */
export function repr(value: Value): string {
  switch (typeof value) {
    case "string":
      return reprText(value);
    case "bigint":
      return value.toString();
    case "boolean":
      return value ? "True" : "False";
    case "number":
      return reprFloat(value);
  }
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`;
  if (value instanceof Tuple)
    return value.items.length === 1 ? `(${repr(value.items[0]!)},)` : `(${value.items.map(repr).join(", ")})`;
  if (value instanceof Dict) return reprDict(value);
  if (value instanceof View) return `dict_${value.kind}([${value.toArray().map(repr).join(", ")}])`;
  if (value instanceof Range)
    return `range(${value.start}, ${value.stop}${value.step === 1n ? "" : `, ${value.step}`})`;
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Markup) return `Markup(${reprText(value.text)})`;
  if (value instanceof Lazy || value instanceof Callable)
    return unsupported(`writing ${value.name} itself, which in Python holds an address of memory`);
  return reprAttributes(value);
}

function reprAttributes(value: Attributes): string {
  if (value.typeName === "LoopContext") return `<LoopContext ${value.get("index")}/${value.get("length")}>`;
  return unsupported(`writing a ${value.typeName} itself`);
}

const reprDict = (dict: Dict) =>
  `{${dict
    .entries()
    .map(([key, value]) => `${repr(key)}: ${repr(value)}`)
    .join(", ")}}`;

const NAMED: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
const UNPRINTABLE = /[\\]|(?! )[\p{C}\p{Z}]/gu;

function reprText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(UNPRINTABLE, (character) => {
    const code = character.codePointAt(0)!;
    if (NAMED[character] !== undefined) return NAMED[character];
    if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
    if (code < 0x10000) return `\\u${code.toString(16).padStart(4, "0")}`;
    return `\\U${code.toString(16).padStart(8, "0")}`;
  });
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
}

/** The shortest digits that give the number back, with an exponent where Python writes one. */
export function reprFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Object.is(value, -0)) return "-0.0";
  if (value === 0) return "0.0";
  const [, sign, head, tail = "", exponentText] = /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(
    value.toExponential(),
  )!;
  const digits = head! + tail;
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${sign}${head}${tail && `.${tail}`}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${sign}${whole}.${digits.slice(exponent + 1) || "0"}`;
}
