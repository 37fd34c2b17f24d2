import { fail } from "../errors.ts";
import { Dict, Tuple, textOf, typeName, type Value } from "../values.ts";
import { reprFloat } from "./text.ts";

export interface JsonStyle {
  readonly ascii: boolean;
  /** What a level is indented by; `null`: all in one line. */
  readonly indent: string | null;
  readonly itemSeparator: string;
  readonly keySeparator: string;
  readonly sortKeys: boolean;
}

/** As `json.dumps` writes without options, but for letters that are not ASCII, which stay. */
export const PLAIN_JSON: JsonStyle = {
  ascii: false,
  indent: null,
  itemSeparator: ", ",
  keySeparator: ": ",
  sortKeys: false,
};

/** Python's `json.dumps`. @throws TemplateRuntimeError for a value that JSON does not have. */
export function toJson(value: Value, style: JsonStyle, before = "\n"): string {
  const text = textOf(value);
  if (text !== undefined) return quoted(text, style.ascii);
  switch (typeof value) {
    case "boolean":
      return value ? "true" : "false";
    case "bigint":
      return value.toString();
    case "number":
      return float(value);
  }
  if (value === null) return "null";
  const { indent, itemSeparator } = style;
  const inner = indent === null ? "" : before + indent;
  const wrap = (open: string, items: readonly string[], close: string) =>
    items.length === 0
      ? open + close
      : open + inner + items.join(itemSeparator + inner) + (indent === null ? "" : before) + close;
  const nested = (each: Value) => toJson(each, style, inner);
  if (Array.isArray(value)) return wrap("[", value.map(nested), "]");
  if (value instanceof Tuple) return wrap("[", value.items.map(nested), "]");
  if (value instanceof Dict) {
    const entries = value.entries().map(([key, each]) => [keyText(key), each] as const);
    if (style.sortKeys) entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return wrap(
      "{",
      entries.map(([key, each]) => quoted(key, style.ascii) + style.keySeparator + nested(each)),
      "}",
    );
  }
  return fail(`Object of type ${typeName(value)} is not JSON serializable`);
}

function keyText(key: Value): string {
  const text = textOf(key);
  if (text !== undefined) return text;
  if (key === null) return "null";
  if (typeof key === "boolean") return key ? "true" : "false";
  if (typeof key === "bigint") return key.toString();
  if (typeof key === "number") return float(key);
  return fail(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

function float(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : "-Infinity";
  return reprFloat(value);
}

const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\f": "\\f",
  "\b": "\\b",
};

function quoted(text: string, ascii: boolean): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what JSON escapes
  const escaped = ascii ? /["\\\x00-\x1f]|[^\x00-\x7e]/g : /["\\\x00-\x1f]/g;
  return `"${text.replace(
    escaped,
    (unit) => SHORT[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )}"`;
}
