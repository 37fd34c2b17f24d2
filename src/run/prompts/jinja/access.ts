import { fail, unsupported } from "./errors.ts";
import { collectionMethod } from "./library/collection-methods.ts";
import { OTHER_STRING_METHODS, stringMethods } from "./library/string-methods.ts";
import { repr } from "./library/text.ts";
import { int, isInt } from "./signature.ts";
import {
  Attributes,
  Callable,
  Dict,
  Group,
  Lazy,
  Markup,
  orElse,
  points,
  Range,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

/** Jinja's `object.name`: an attribute, else an item. */
export function getAttribute(object: Value, name: string): Value {
  if (object instanceof Undefined) return object.fail();
  return orElse(attribute(object, name), () => orElse(item(object, name), () => missing(object, name)));
}

/** Jinja's `object|attr(name)`: an attribute and no item. */
export function getOwnAttribute(object: Value, name: string): Value {
  if (object instanceof Undefined) return object.fail();
  return orElse(attribute(object, name), () => missing(object, name));
}

/** Jinja's `object[index]`: an item, else an attribute. */
export function getItem(object: Value, index: Value): Value {
  if (object instanceof Undefined) return object.fail();
  const found = item(object, index);
  if (found !== undefined) return found;
  const name = textOf(index);
  return orElse(name === undefined ? undefined : attribute(object, name), () => missing(object, index));
}

function missing(object: Value, name: Value): Undefined {
  const type = object === null ? "None" : `${typeName(object)} object`;
  return typeof name === "string"
    ? new Undefined(`'${type}' has no attribute '${name}'`)
    : new Undefined(`${type} has no element ${safeRepr(name)}`);
}

/** For a message: what cannot be written is named by its type. */
function safeRepr(value: Value): string {
  try {
    return repr(value);
  } catch {
    return typeName(value);
  }
}

/** `{0.name[key]}` of a format. */
function followPath(value: Value, path: string): Value {
  let at = value;
  for (const [, name, key] of path.matchAll(/\.([^.[]+)|\[([^\]]+)\]/g))
    at = name !== undefined ? getAttribute(at, name) : getItem(at, /^\d+$/.test(key!) ? BigInt(key!) : key!);
  return at;
}

const STRING = stringMethods(followPath);
const NUMBERS = new Set(
  (
    "as_integer_ratio bit_count bit_length conjugate denominator fromhex hex imag is_integer numerator real to_bytes " +
    "from_bytes"
  ).split(" "),
);

function attribute(object: Value, name: string): Value | undefined {
  if (object instanceof Attributes) return object.get(name);
  if (name.startsWith("__") && !(object instanceof Dict && object.has(name))) {
    // Python's own attributes are there, and the sandbox gives none of them.
    return new Undefined(`access to attribute '${name}' of '${typeName(object)}' object is unsafe.`);
  }
  if (typeof object === "string") {
    const method = STRING.get(name);
    if (method) return new Callable(name, (args, kwargs) => method(object, args, kwargs));
    return OTHER_STRING_METHODS.has(name) ? unsupported(`the method ${name} of a text`) : undefined;
  }
  if (object instanceof Dict || Array.isArray(object)) return collectionMethod(object, name);
  if (object instanceof Group) {
    const index = object.names.indexOf(name as "list");
    if (index >= 0) return object.items[index]!;
  }
  if (object instanceof Tuple) return collectionMethod(object, name);
  if (object instanceof Markup) return unsupported(`the attribute ${name} of text that was escaped`);
  if (
    object instanceof Callable ||
    object instanceof Lazy ||
    object instanceof View ||
    object instanceof Range
  )
    return unsupported(`the attribute ${name} of a ${typeName(object)}`);
  return object !== null && NUMBERS.has(name)
    ? unsupported(`the attribute ${name} of a ${typeName(object)}`)
    : undefined;
}

function item(object: Value, index: Value): Value | undefined {
  if (object instanceof Dict) return isHashable(index) ? object.get(index) : undefined;
  if (!isInt(index)) return undefined;
  const at = (length: number) => {
    const position = Number(index);
    return position < 0 ? position + length : position;
  };
  const text = textOf(object);
  if (text !== undefined) {
    const characters = points(text);
    return characters[at(characters.length)];
  }
  if (Array.isArray(object)) return object[at(object.length)];
  if (object instanceof Tuple) return object.items[at(object.items.length)];
  if (object instanceof Range) {
    const position = at(object.length);
    return position >= 0 && position < object.length ? object.at(position) : undefined;
  }
  return undefined;
}

const isHashable = (value: Value) => !(Array.isArray(value) || value instanceof Dict);

/** Python's `object[start:stop:step]`. */
export function slice(object: Value, start: Value, stop: Value, step: Value): Value {
  if (object instanceof Undefined) return object.fail();
  const text = textOf(object);
  if (text !== undefined) {
    const characters = points(text);
    const cut = indices(characters.length, start, stop, step)
      .map((i) => characters[i]!)
      .join("");
    return object instanceof Markup ? new Markup(cut) : cut;
  }
  if (Array.isArray(object)) return indices(object.length, start, stop, step).map((i) => object[i]!);
  if (object instanceof Tuple)
    return new Tuple(indices(object.items.length, start, stop, step).map((i) => object.items[i]!));
  if (object instanceof Range) return unsupported("a slice of a range");
  return fail(`'${typeName(object)}' object is not subscriptable`);
}

function indices(length: number, start: Value, stop: Value, step: Value): number[] {
  const by = step === null ? 1 : int(step);
  if (by === 0) return fail("slice step cannot be zero");
  const [low, high] = by > 0 ? [0, length] : [-1, length - 1];
  const at = (value: Value, fallback: number) => {
    if (value === null) return fallback;
    const index = int(value);
    return Math.min(high, Math.max(low, index < 0 ? index + length : index));
  };
  const from = at(start, by > 0 ? 0 : length - 1);
  const to = at(stop, by > 0 ? length : -1);
  const chosen: number[] = [];
  for (let i = from; by > 0 ? i < to : i > to; i += by) chosen.push(i);
  return chosen;
}
