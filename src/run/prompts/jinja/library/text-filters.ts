import { binary } from "../arithmetic.ts";
import { fail, unsupported } from "../errors.ts";
import { escapeHtml } from "../markup.ts";
import { bind, int, text } from "../signature.ts";
import { SPACE, splitLines, strip } from "../syntax/whitespace.ts";
import {
  Dict,
  iterableOf,
  iterate,
  Markup,
  pairOf,
  points,
  sizeOf,
  Tuple,
  textOf,
  truthy,
  typeName,
  type Value,
} from "../values.ts";
import { add, type Filter } from "./filter.ts";
import { type JsonStyle, toJson } from "./json.ts";
import { center } from "./number-format.ts";
import { percentFormat } from "./percent-format.ts";
import { capitalize, replace } from "./string-methods.ts";
import { str } from "./text.ts";

/** A filter that maps text to text; text that counts as HTML goes on counting so. */
const textual =
  <N extends string>(
    name: string,
    parameters: readonly N[],
    map: (text: string, given: Partial<Record<N, Value>>) => string,
  ): Filter =>
  (value, args, kwargs) => {
    const mapped = map(str(value), bind(name, parameters, args, kwargs));
    return value instanceof Markup ? new Markup(mapped) : mapped;
  };

const WORD_START = new RegExp(`([-({\\[<]|${SPACE})+`, "g");

function title(value: string): string {
  let from = 0;
  const parts: string[] = [];
  for (const { index, 0: gap } of value.matchAll(WORD_START)) {
    parts.push(value.slice(from, index), gap);
    from = index + gap.length;
  }
  parts.push(value.slice(from));
  return parts.map(capitalize).join("");
}

function indent(value: Value, args: readonly Value[], kwargs: ReadonlyMap<string, Value>): Value {
  const given = bind("indent", ["width", "first", "blank"], args, kwargs);
  const width = given.width ?? 4n;
  const by = textOf(width) ?? " ".repeat(Math.max(0, int(width)));
  const lines = splitLines(text(binary("+", value, "\n")));
  const blank = truthy(given.blank ?? false);
  const rest = lines.slice(1).map((line) => (line !== "" || blank ? by + line : line));
  const first = truthy(given.first ?? false) ? by + lines[0]! : lines[0]!;
  return [first, ...rest].join("\n");
}

function truncate(value: Value, args: readonly Value[], kwargs: ReadonlyMap<string, Value>): Value {
  const given = bind("truncate", ["length", "killwords", "end", "leeway"], args, kwargs);
  const length = int(given.length, 255);
  const end = text(given.end, "...");
  const room = length - points(end).length;
  if (room < 0) return fail(`truncate needs a length of at least ${points(end).length}`);
  const size = sizeOf(value) ?? fail(`object of type '${typeName(value)}' has no len()`);
  if (size <= length + int(given.leeway ?? undefined, 5)) return value;
  const cut = [...points(text(value))].slice(0, room).join("");
  if (truthy(given.killwords ?? false)) return cut + end;
  const space = cut.lastIndexOf(" ");
  return (space < 0 ? cut : cut.slice(0, space)) + end;
}

function jsonStyle(args: readonly Value[], kwargs: ReadonlyMap<string, Value>): JsonStyle {
  const given = bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"], args, kwargs);
  const { indent = null, separators = null } = given;
  const pair = separators === null ? null : [...iterate(separators)].map((each) => text(each));
  if (pair && pair.length !== 2) return fail("the separators of tojson are two texts");
  return {
    ascii: truthy(given.ensure_ascii ?? false),
    indent: indent === null ? null : (textOf(indent) ?? " ".repeat(Math.max(0, int(indent)))),
    itemSeparator: pair?.[0] ?? (indent === null ? ", " : ","),
    keySeparator: pair?.[1] ?? ": ",
    sortKeys: truthy(given.sort_keys ?? false),
  };
}

const UNRESERVED = /[^A-Za-z0-9_.~-]/gu;

/** Python's `urllib.parse.quote`. */
const quote = (value: Value, keep: string) =>
  str(value).replace(UNRESERVED, (character) =>
    keep.includes(character)
      ? character
      : Array.from(
          new TextEncoder().encode(character),
          (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
        ).join(""),
  );

function urlencode(value: Value): Value {
  if (textOf(value) !== undefined || iterableOf(value) === undefined) return quote(value, "/");
  const pairs = value instanceof Dict ? value.entries() : Array.from(iterate(value), pairOf);
  return pairs.map(([key, each]) => `${quote(key, "")}=${quote(each, "")}`.replaceAll("%20", "+")).join("&");
}

/** Filters that give text. Source of each: `jinja2/filters.py` 3.1.6; of `tojson`: transformers' chat templates. */
export const TEXT_FILTERS: ReadonlyMap<string, Filter> = add([
  ["capitalize", textual("capitalize", [], capitalize)],
  ["center", textual("center", ["width"], (value, { width }) => center(value, int(width, 80)))],
  ["lower", textual("lower", [], (value) => value.toLowerCase())],
  ["upper", textual("upper", [], (value) => value.toUpperCase())],
  ["title", textual("title", [], title)],
  [
    "trim",
    textual("trim", ["chars"], (value, { chars = null }) =>
      strip(value, chars === null ? null : text(chars), { left: true, right: true }),
    ),
  ],
  ["string", (value) => (value instanceof Markup ? value : str(value))],
  ["indent", indent],
  ["truncate", truncate],
  [
    "replace",
    (value, args, kwargs) => {
      const given = bind("replace", ["old", "new", "count"], args, kwargs);
      const { old = fail("replace needs two arguments"), new: fresh = fail("replace needs two arguments") } =
        given;
      return replace(str(value), str(old), str(fresh), given.count == null ? -1 : int(given.count));
    },
  ],
  [
    "format",
    (value, args, kwargs) => {
      if (args.length > 0 && kwargs.size > 0)
        return fail("format takes positional or named arguments, not both");
      if (value instanceof Markup) return unsupported("the filter format on text that was escaped");
      return percentFormat(str(value), kwargs.size > 0 ? new Dict(kwargs) : new Tuple(args));
    },
  ],
  ["tojson", (value, args, kwargs) => toJson(value, jsonStyle(args, kwargs))],
  ["urlencode", urlencode],
  ["wordcount", (value) => BigInt(str(value).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)],
  ["escape", (value) => (value instanceof Markup ? value : new Markup(escapeHtml(str(value))))],
  ["e", (value) => (value instanceof Markup ? value : new Markup(escapeHtml(str(value))))],
  ["forceescape", (value) => new Markup(escapeHtml(str(value)))],
  ["safe", (value) => new Markup(str(value))],
]);
