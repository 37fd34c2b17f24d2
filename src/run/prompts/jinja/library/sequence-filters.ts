import { getItem, getOwnAttribute } from "../access.ts";
import { binary } from "../arithmetic.ts";
import { equal, less, sorted } from "../compare.ts";
import { fail } from "../errors.ts";
import { bind, int, text } from "../signature.ts";
import { strip } from "../syntax/whitespace.ts";
import {
  Dict,
  Group,
  isNumber,
  iterate,
  type Kwargs,
  Lazy,
  orElse,
  points,
  sizeOf,
  Tuple,
  textOf,
  truthy,
  typeName,
  Undefined,
  type Value,
} from "../values.ts";
import { add, type Filter } from "./filter.ts";
import { fixed } from "./number-format.ts";
import { str } from "./text.ts";

type Getter = (value: Value) => Value;

/** The attribute `a.b.0` of a value; @param attribute `null`: the value itself. */
export function attributeOf(attribute: Value, fallback: Value = null): Getter {
  if (attribute === null) return (value) => value;
  const path = textOf(attribute)
    ?.split(".")
    .map((part) => (/^\d+$/.test(part) ? BigInt(part) : part)) ?? [attribute];
  return (value) => {
    let at = value;
    for (const part of path) {
      at = getItem(at, part);
      if (fallback !== null && at instanceof Undefined) at = fallback;
    }
    return at;
  };
}

const lowered = (value: Value): Value => textOf(value)?.toLowerCase() ?? value;

/** What values are compared by. */
function keyOf(attribute: Value | undefined, caseSensitive: Value | undefined, several = false): Getter {
  const caseless = !truthy(caseSensitive ?? false);
  const paths = several && typeof attribute === "string" ? attribute.split(",") : [attribute ?? null];
  const getters = paths.map((path) => attributeOf(path));
  const one =
    (get: Getter): Getter =>
    (value) =>
      caseless ? lowered(get(value)) : get(value);
  return several ? (value) => getters.map((get) => one(get)(value)) : one(getters[0]!);
}

function extreme(name: string, isBetter: (a: Value, b: Value) => boolean): Filter {
  return (value, args, kwargs) => {
    const given = bind(name, ["case_sensitive", "attribute"], args, kwargs);
    const key = keyOf(given.attribute, given.case_sensitive);
    let best: { value: Value; key: Value } | undefined;
    for (const each of iterate(value)) {
      const candidate = { value: each, key: key(each) };
      if (!best || isBetter(candidate.key, best.key)) best = candidate;
    }
    return best ? best.value : new Undefined("No aggregated item, sequence was empty.");
  };
}

function unique(value: Value, args: readonly Value[], kwargs: Kwargs): Value {
  const given = bind("unique", ["case_sensitive", "attribute"], args, kwargs);
  const key = keyOf(given.attribute, given.case_sensitive);
  return new Lazy(
    "unique",
    (function* () {
      const seen = new Dict();
      for (const each of iterate(value)) {
        const by = key(each);
        if (seen.has(by)) continue;
        seen.set(by, null);
        yield each;
      }
    })(),
  );
}

function groupby(value: Value, args: readonly Value[], kwargs: Kwargs): Value {
  const given = bind("groupby", ["attribute", "default", "case_sensitive"], args, kwargs);
  const get = attributeOf(given.attribute ?? fail("groupby needs an attribute"), given.default ?? null);
  const key: Getter = truthy(given.case_sensitive ?? false) ? get : (each) => lowered(get(each));
  const groups: { key: Value; values: Value[] }[] = [];
  for (const each of sorted(iterate(value), key)) {
    const by = key(each);
    const last = groups.at(-1);
    if (last && equal(last.key, by)) last.values.push(each);
    else groups.push({ key: by, values: [each] });
  }
  return groups.map(({ values }) => new Group([get(values[0]!), values]));
}

function dictsort(value: Value, args: readonly Value[], kwargs: Kwargs): Value {
  const given = bind("dictsort", ["case_sensitive", "by", "reverse"], args, kwargs);
  if (!(value instanceof Dict)) return value instanceof Undefined ? value.fail() : noMapping(value);
  const by = text(given.by, "key");
  if (by !== "key" && by !== "value") return fail("dictsort sorts by key or by value");
  const key = keyOf(BigInt(by === "key" ? 0 : 1), given.case_sensitive);
  return sorted(
    value.entries().map((entry) => new Tuple(entry)),
    key,
    truthy(given.reverse ?? false),
  );
}

const noMapping = (value: Value) => fail(`'${typeName(value)}' object has no attribute 'items'`);

function batch(value: Value, args: readonly Value[], kwargs: Kwargs): Value {
  const given = bind("batch", ["linecount", "fill_with"], args, kwargs);
  const size = int(given.linecount);
  const fill = given.fill_with ?? null;
  return new Lazy(
    "batch",
    (function* () {
      let row: Value[] = [];
      for (const each of iterate(value)) {
        if (row.length === size) {
          yield row;
          row = [];
        }
        row.push(each);
      }
      if (row.length === 0) return;
      while (fill !== null && row.length < size) row.push(fill);
      yield row;
    })(),
  );
}

function sliced(value: Value, args: readonly Value[], kwargs: Kwargs): Value {
  const given = bind("slice", ["slices", "fill_with"], args, kwargs);
  const count = int(given.slices);
  const fill = given.fill_with ?? null;
  const items = [...iterate(value)];
  const each = Math.floor(items.length / count);
  const longer = items.length % count;
  return new Lazy(
    "slice",
    (function* () {
      let from = 0;
      for (let i = 0; i < count; i++) {
        const part = items.slice(from, from + each + (i < longer ? 1 : 0));
        from += part.length;
        if (fill !== null && i >= longer) part.push(fill);
        yield part;
      }
    })(),
  );
}

function reverse(value: Value): Value {
  const characters = textOf(value);
  if (characters !== undefined) return [...points(characters)].reverse().join("");
  const reversed = [...iterate(value)].reverse();
  return value instanceof Lazy ? reversed : new Lazy("reverse", reversed);
}

function last(value: Value): Value {
  if (value instanceof Lazy) return fail("'generator' object is not reversible");
  return orElse([...iterate(value)].at(-1), () => new Undefined("No last item, sequence was empty."));
}

function first(value: Value): Value {
  for (const each of iterate(value)) return each;
  return new Undefined("No first item, sequence was empty.");
}

const DIGITS: Readonly<Record<string, RegExp>> = {
  "2": /^[+-]?(?:0b)?_?[01](?:_?[01])*$/i,
  "8": /^[+-]?(?:0o)?_?[0-7](?:_?[0-7])*$/i,
  "10": /^[+-]?\d(?:_?\d)*$/,
  "16": /^[+-]?(?:0x)?_?[\da-f](?:_?[\da-f])*$/i,
};
const PREFIXES: Readonly<Record<string, string>> = { "2": "0b", "8": "0o", "10": "", "16": "0x" };

function toInt(value: Value, args: readonly Value[], kwargs: Kwargs): Value {
  const given = bind("int", ["default", "base"], args, kwargs);
  const fallback = orElse(given.default, () => 0n);
  if (value instanceof Undefined) return value.fail();
  if (typeof value === "bigint" || typeof value === "boolean") return BigInt(value);
  if (typeof value === "number") return Number.isFinite(value) ? BigInt(Math.trunc(value)) : fallback;
  const written = textOf(value);
  if (written === undefined) return fallback;
  const base = String(int(given.base, 10));
  const digits = strip(written, null, { left: true, right: true });
  const pattern = DIGITS[base] ?? fail(`int takes the base 2, 8, 10 or 16, not ${base}`);
  if (pattern.test(digits)) {
    const [, sign, size] = /^([+-]?)(?:0[box])?(.*)$/i.exec(digits.replaceAll("_", ""))!;
    const read = BigInt(base === "10" ? digits.replace(/[+_-]/g, "") : PREFIXES[base]! + size);
    return sign === "-" ? -read : read;
  }
  const float = toFloat(written);
  return float !== null && Number.isFinite(float) ? BigInt(Math.trunc(float)) : fallback;
}

function toFloat(written: string): number | null {
  const digits = strip(written, null, { left: true, right: true });
  if (/^[+-]?(?:\d(?:_?\d)*\.?(?:\d(?:_?\d)*)?|\.\d(?:_?\d)*)(?:e[+-]?\d(?:_?\d)*)?$/i.test(digits))
    return Number(digits.replaceAll("_", ""));
  const named = /^([+-]?)(inf|infinity|nan)$/i.exec(digits);
  if (!named) return null;
  const size = /nan/i.test(named[2]!) ? Number.NaN : Infinity;
  return named[1] === "-" ? -size : size;
}

function round(value: Value, args: readonly Value[], kwargs: Kwargs): Value {
  const given = bind("round", ["precision", "method"], args, kwargs);
  const precision = int(given.precision, 0);
  const method = text(given.method, "common");
  if (value instanceof Undefined) return value.fail();
  if (!isNumber(value)) return fail(`type ${typeName(value)} doesn't define __round__ method`);
  if (method === "ceil" || method === "floor") {
    const scale = 10 ** precision;
    return Math[method](Number(value) * scale) / scale;
  }
  if (method !== "common") return fail("method must be common, ceil or floor");
  if (typeof value !== "number") return precision >= 0 ? BigInt(value) : fail("round to tens of an int");
  if (!Number.isFinite(value)) return value;
  if (precision < 0) return Math.round(value * 10 ** precision) / 10 ** precision;
  return Math.sign(value) * Number(fixed(Math.abs(value), Math.min(precision, 60)));
}

/** Filters of lists, dicts and numbers. Source of each: `jinja2/filters.py` 3.1.6. */
export const SEQUENCE_FILTERS: ReadonlyMap<string, Filter> = add([
  [
    "abs",
    (value) => (isNumber(value) ? absolute(value) : fail(`bad operand type for abs(): '${typeName(value)}'`)),
  ],
  ["attr", (value, [name]) => getOwnAttribute(value, text(name))],
  ["batch", batch],
  ["slice", sliced],
  ["length", length],
  ["count", length],
  ["default", fallback],
  ["d", fallback],
  ["dictsort", dictsort],
  ["first", first],
  ["last", last],
  [
    "float",
    (value, args, kwargs) => {
      const given = bind("float", ["default"], args, kwargs);
      if (value instanceof Undefined) return value.fail();
      if (isNumber(value)) return Number(value);
      const written = textOf(value);
      return (written === undefined ? null : toFloat(written)) ?? orElse(given.default, () => 0);
    },
  ],
  ["groupby", groupby],
  ["int", toInt],
  [
    "items",
    (value) => {
      if (value instanceof Undefined) return [];
      if (!(value instanceof Dict)) return fail("Can only get item pairs from a mapping.");
      return new Lazy(
        "items",
        value.entries().map((entry) => new Tuple(entry)),
      );
    },
  ],
  [
    "join",
    (value, args, kwargs) => {
      const given = bind("join", ["d", "attribute"], args, kwargs);
      const get = attributeOf(given.attribute ?? null);
      return Array.from(iterate(value), (each) => str(get(each))).join(str(orElse(given.d, () => "")));
    },
  ],
  ["list", (value) => [...iterate(value)]],
  ["max", extreme("max", (a, b) => less(b, a))],
  ["min", extreme("min", (a, b) => less(a, b))],
  ["reverse", reverse],
  ["round", round],
  [
    "sort",
    (value, args, kwargs) => {
      const given = bind("sort", ["reverse", "case_sensitive", "attribute"], args, kwargs);
      const key = keyOf(given.attribute, given.case_sensitive, true);
      return sorted(iterate(value), key, truthy(given.reverse ?? false));
    },
  ],
  [
    "sum",
    (value, args, kwargs) => {
      const given = bind("sum", ["attribute", "start"], args, kwargs);
      const get = attributeOf(given.attribute ?? null);
      let sum = orElse(given.start, () => 0n);
      if (typeof sum === "string") return fail("sum() can't sum strings [use ''.join(seq) instead]");
      for (const each of iterate(value)) sum = binary("+", sum, get(each));
      return sum;
    },
  ],
  ["unique", unique],
]);

function absolute(value: boolean | bigint | number): Value {
  if (typeof value === "number") return Math.abs(value);
  const int = BigInt(value);
  return int < 0n ? -int : int;
}

function length(value: Value): Value {
  const size = sizeOf(value);
  return size === undefined ? fail(`object of type '${typeName(value)}' has no len()`) : BigInt(size);
}

function fallback(value: Value, args: readonly Value[], kwargs: Kwargs): Value {
  const given = bind("default", ["default_value", "boolean"], args, kwargs);
  const replace = value instanceof Undefined || (truthy(given.boolean ?? false) && !truthy(value));
  return replace ? orElse(given.default_value, () => "") : value;
}
