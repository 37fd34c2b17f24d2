import { fail, unsupported } from "./errors.ts";

/**
 * Python's values as templates see them. `null` is None, a `bigint` an int and a `number` a float, an array a list: the
 * kinds must not mix, as `1` and `1.0`, and a list and a tuple, are written differently.
 */
export type Value =
  | null
  | boolean
  | bigint
  | number
  | string
  | Value[]
  | Tuple
  | Dict
  | View
  | Range
  | Lazy
  | Undefined
  | Markup
  | Callable
  | Attributes;

export class Tuple {
  readonly items: readonly Value[];

  constructor(items: readonly Value[]) {
    this.items = items;
  }
}

/** What the filter `groupby` gives: a tuple whose items have names. */
export class Group extends Tuple {
  readonly names = ["grouper", "list"] as const;
}

/** What is not there. It prints as nothing, and most else that is done with it fails. */
export class Undefined {
  readonly #message: string;

  constructor(message: string) {
    this.#message = message;
  }

  fail(): never {
    return fail(this.#message);
  }
}

/** Text that counts as HTML already: what `escape` and `safe` give. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export class Range {
  readonly start: bigint;
  readonly stop: bigint;
  readonly step: bigint;

  constructor(start: bigint, stop: bigint, step: bigint) {
    this.start = start;
    this.stop = stop;
    this.step = step;
  }

  get length(): number {
    const span = this.step > 0n ? this.stop - this.start : this.start - this.stop;
    const step = this.step > 0n ? this.step : -this.step;
    return span <= 0n ? 0 : Number((span + step - 1n) / step);
  }

  at(index: number): bigint {
    return this.start + BigInt(index) * this.step;
  }

  *[Symbol.iterator](): Iterator<bigint> {
    for (let i = 0; i < this.length; i++) yield this.at(i);
  }
}

/** A generator: its values come once, and nobody knows how many. */
export class Lazy {
  readonly #iterator: Iterator<Value>;
  readonly name: string;

  constructor(name: string, values: Iterable<Value>) {
    this.name = name;
    this.#iterator = values[Symbol.iterator]();
  }

  [Symbol.iterator](): Iterator<Value> {
    return { next: () => this.#iterator.next() };
  }
}

/** A Python dict: in the order of insertion, with keys that are equal where Python's are. */
export class Dict {
  readonly #entries = new Map<string, [key: Value, value: Value]>();

  constructor(entries: Iterable<readonly [Value, Value]> = []) {
    for (const [key, value] of entries) this.set(key, value);
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: Value): Value | undefined {
    return this.#entries.get(hash(key))?.[1];
  }

  has(key: Value): boolean {
    return this.#entries.has(hash(key));
  }

  set(key: Value, value: Value): void {
    const hashed = hash(key);
    const entry = this.#entries.get(hashed);
    // The first of two equal keys stays.
    if (entry) entry[1] = value;
    else this.#entries.set(hashed, [key, value]);
  }

  keys(): Value[] {
    return Array.from(this.#entries.values(), ([key]) => key);
  }

  values(): Value[] {
    return Array.from(this.#entries.values(), ([, value]) => value);
  }

  entries(): (readonly [Value, Value])[] {
    return [...this.#entries.values()];
  }
}

/** What `keys()`, `values()` and `items()` of a dict give. */
export class View {
  readonly kind: "keys" | "values" | "items";
  readonly dict: Dict;

  constructor(kind: View["kind"], dict: Dict) {
    this.kind = kind;
    this.dict = dict;
  }

  toArray(): Value[] {
    return this.kind === "items"
      ? this.dict.entries().map((entry) => new Tuple(entry))
      : this.dict[this.kind]();
  }
}

export type Kwargs = ReadonlyMap<string, Value>;

/** A function, a method or a macro. */
export class Callable {
  readonly name: string;
  readonly call: (args: readonly Value[], kwargs: Kwargs) => Value;

  constructor(name: string, call: (args: readonly Value[], kwargs: Kwargs) => Value) {
    this.name = name;
    this.call = call;
  }
}

/** An object of Jinja's own that has attributes: a namespace, the `loop`, a cycler. */
export abstract class Attributes {
  abstract readonly typeName: string;
  abstract get(name: string): Value | undefined;

  /** Called as a function. */
  call(_args: readonly Value[], _kwargs: Kwargs): Value {
    return fail(`'${this.typeName}' object is not callable`);
  }
}

export const isNumber = (value: Value): value is boolean | bigint | number =>
  typeof value === "boolean" || typeof value === "bigint" || typeof value === "number";

/** Text, whether it counts as HTML or not. */
export function textOf(value: Value): string | undefined {
  if (typeof value === "string") return value;
  return value instanceof Markup ? value.text : undefined;
}

/** A value where there is one. `??` would take None for none. */
export function orElse(value: Value | undefined, otherwise: () => Value): Value {
  return value === undefined ? otherwise() : value;
}

/** Python's name of a value's type. */
export function typeName(value: Value): string {
  switch (typeof value) {
    case "string":
      return "str";
    case "bigint":
      return "int";
    case "number":
      return "float";
    case "boolean":
      return "bool";
  }
  if (value === null) return "NoneType";
  if (Array.isArray(value)) return "list";
  if (value instanceof Tuple) return "tuple";
  if (value instanceof Dict) return "dict";
  if (value instanceof View) return `dict_${value.kind}`;
  if (value instanceof Range) return "range";
  if (value instanceof Lazy) return "generator";
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Markup) return "Markup";
  if (value instanceof Attributes) return value.typeName;
  return "function";
}

/** Python's `bool(value)`. */
export function truthy(value: Value): boolean {
  switch (typeof value) {
    case "boolean":
      return value;
    case "string":
      return value !== "";
    case "bigint":
      return value !== 0n;
    case "number":
      return value !== 0;
  }
  if (value === null || value instanceof Undefined) return false;
  return sizeOf(value) !== 0;
}

/** Python's `len(value)`, or `undefined` where a value has none. */
export function sizeOf(value: Value): number | undefined {
  const text = textOf(value);
  if (text !== undefined) return points(text).length;
  if (Array.isArray(value)) return value.length;
  if (value instanceof Tuple) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof View) return value.dict.size;
  if (value instanceof Range) return value.length;
  if (value instanceof Undefined) return 0;
  if (value instanceof Attributes) {
    const length = value.typeName === "LoopContext" ? value.get("length") : undefined;
    return length === undefined ? undefined : Number(length);
  }
  return undefined;
}

/** Python's `iter(value)`. @throws TemplateRuntimeError where a value has no items. */
export function iterate(value: Value): Iterable<Value> {
  return iterableOf(value) ?? fail(`'${typeName(value)}' object is not iterable`);
}

export function iterableOf(value: Value): Iterable<Value> | undefined {
  const text = textOf(value);
  if (text !== undefined) return points(text);
  if (Array.isArray(value) || value instanceof Range || value instanceof Lazy) return value;
  if (value instanceof Tuple) return value.items;
  if (value instanceof Dict) return value.keys();
  if (value instanceof View) return value.toArray();
  if (value instanceof Undefined) return [];
  return undefined;
}

/** A value of two items, for a dict. */
export function pairOf(value: Value): readonly [Value, Value] {
  const pair = [...iterate(value)];
  if (pair.length !== 2) return fail(`expected 2 items, got ${pair.length}`);
  return pair as [Value, Value];
}

const SURROGATE = /[\ud800-\udfff]/;

/** The characters of a text as Python counts them: code points, not UTF-16 units. */
export function points(text: string): string | string[] {
  return SURROGATE.test(text) ? Array.from(text) : text;
}

/** Equal for keys that Python's dict takes for one: 1, 1.0 and True are. */
function hash(key: Value): string {
  switch (typeof key) {
    case "string":
      return `s${key}`;
    case "bigint":
      return `n${key}`;
    case "boolean":
      return key ? "n1" : "n0";
    case "number":
      return Number.isInteger(key) ? `n${BigInt(key)}` : `f${key}`;
  }
  if (key === null) return "N";
  if (key instanceof Tuple) return `t${JSON.stringify(key.items.map(hash))}`;
  if (key instanceof Undefined) return "u";
  if (key instanceof Markup) return `s${key.text}`;
  if (Array.isArray(key) || key instanceof Dict) return fail(`unhashable type: '${typeName(key)}'`);
  return unsupported(`a ${typeName(key)} as the key of a dict`);
}

/**
 * A value of JSON as Python's `json.loads` gives it. A number without a fraction is an int, as JavaScript does not tell
 * `1.0` from `1`; a boxed one is a float, see `parseJson`.
 */
export function fromJson(value: unknown): Value {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "bigint":
      return value;
    case "number":
      return Number.isInteger(value) ? BigInt(value) : value;
    case "object":
      if (value === null) return null;
      if (Array.isArray(value)) return value.map(fromJson);
      if (value instanceof Number) return value.valueOf();
      return new Dict(
        Object.entries(value)
          .filter(([, each]) => each !== undefined)
          .map(([key, each]) => [key, fromJson(each)]),
      );
  }
  return fail(`a ${typeof value} cannot go into a template`);
}
