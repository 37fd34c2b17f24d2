import { equal } from "./compare.ts";
import { fail } from "./errors.ts";
import { text } from "./signature.ts";
import {
  Attributes,
  Callable,
  Dict,
  iterate,
  type Kwargs,
  orElse,
  pairOf,
  Tuple,
  Undefined,
  type Value,
} from "./values.ts";

/** `namespace(...)`: what a template keeps between the turns of a loop. */
export class Namespace extends Attributes {
  readonly typeName = "Namespace";
  readonly #attributes = new Map<string, Value>();

  get(name: string): Value | undefined {
    return this.#attributes.get(name);
  }

  set(name: string, value: Value): void {
    this.#attributes.set(name, value);
  }
}

/** `loop` in the body of a `for`. It reads an item ahead where it is asked what comes. */
export class Loop extends Attributes {
  readonly typeName = "LoopContext";
  readonly #recurse: ((iterable: Value, depth: number) => Value) | null;
  readonly #depth: number;
  readonly #size: number | undefined;
  #iterator: Iterator<Value>;
  #ahead: Value[] | null = null;
  #index = -1;
  #current: Value | undefined;
  #previous: Value | undefined;
  #length: number | undefined;
  #changed: readonly Value[] | null = null;

  /** @param size of the iterable, where it has one. */
  constructor(
    iterable: Iterable<Value>,
    size: number | undefined,
    depth: number,
    recurse: ((iterable: Value, depth: number) => Value) | null,
  ) {
    super();
    this.#iterator = iterable[Symbol.iterator]();
    this.#size = size;
    this.#depth = depth;
    this.#recurse = recurse;
  }

  /** Go on to the next item. */
  next(): { readonly item: Value } | null {
    const ahead = this.#peek();
    if (ahead.length === 0) return null;
    this.#ahead = null;
    this.#index++;
    this.#previous = this.#current;
    this.#current = ahead[0]!;
    return { item: ahead[0]! };
  }

  /** The item that comes next, or none. */
  #peek(): Value[] {
    if (this.#ahead === null) {
      const { done, value } = this.#iterator.next();
      this.#ahead = done ? [] : [value];
    }
    return this.#ahead;
  }

  #count(): number {
    if (this.#length !== undefined) return this.#length;
    if (this.#size !== undefined) this.#length = this.#size;
    else {
      const rest = [...{ [Symbol.iterator]: () => this.#iterator }];
      this.#iterator = rest[Symbol.iterator]();
      this.#length = rest.length + this.#index + 1 + (this.#ahead?.length ?? 0);
    }
    return this.#length;
  }

  get(name: string): Value | undefined {
    switch (name) {
      case "index":
        return BigInt(this.#index + 1);
      case "index0":
        return BigInt(this.#index);
      case "revindex":
        return BigInt(this.#count() - this.#index);
      case "revindex0":
        return BigInt(this.#count() - this.#index - 1);
      case "first":
        return this.#index === 0;
      case "last":
        return this.#peek().length === 0;
      case "length":
        return BigInt(this.#count());
      case "depth":
        return BigInt(this.#depth + 1);
      case "depth0":
        return BigInt(this.#depth);
      case "previtem":
        return this.#index === 0 ? new Undefined("there is no previous item") : this.#previous;
      case "nextitem":
        return orElse(this.#peek()[0], () => new Undefined("there is no next item"));
      case "cycle":
        return new Callable("cycle", (args) =>
          orElse(args[this.#index % args.length], () => fail("no items for cycling given")),
        );
      case "changed":
        return new Callable("changed", (args) => this.#hasChanged(args));
    }
    return undefined;
  }

  #hasChanged(values: readonly Value[]): boolean {
    if (this.#changed !== null && equal(new Tuple(this.#changed), new Tuple(values))) return false;
    this.#changed = values;
    return true;
  }

  override call(args: readonly Value[]): Value {
    if (this.#recurse === null)
      return fail("The loop must have the 'recursive' marker to be called recursively.");
    const inner = orElse(args[0], () => fail("loop() needs what to iterate over"));
    return this.#recurse(inner, this.#depth + 1);
  }
}

class Cycler extends Attributes {
  readonly typeName = "Cycler";
  readonly #items: readonly Value[];
  #position = 0;

  constructor(items: readonly Value[]) {
    super();
    this.#items = items;
  }

  get(name: string): Value | undefined {
    if (name === "current") return this.#items[this.#position];
    if (name === "next")
      return new Callable("next", () => {
        const item = this.#items[this.#position]!;
        this.#position = (this.#position + 1) % this.#items.length;
        return item;
      });
    if (name === "reset")
      return new Callable("reset", () => {
        this.#position = 0;
        return null;
      });
    return undefined;
  }
}

export function makeDict(args: readonly Value[], kwargs: Kwargs): Dict {
  if (args.length > 1) return fail(`dict expected at most 1 argument, got ${args.length}`);
  const [from] = args;
  const entries =
    from === undefined ? [] : from instanceof Dict ? from.entries() : Array.from(iterate(from), pairOf);
  return new Dict([...entries, ...kwargs]);
}

export function makeNamespace(args: readonly Value[], kwargs: Kwargs): Namespace {
  const namespace = new Namespace();
  for (const [name, value] of makeDict(args, kwargs).entries()) namespace.set(text(name), value);
  return namespace;
}

export const makeCycler = (args: readonly Value[]): Cycler =>
  args.length === 0 ? fail("at least one item has to be provided") : new Cycler(args);

export function makeJoiner(args: readonly Value[]): Callable {
  let used = false;
  return new Callable("joiner", () => {
    const separator = used ? orElse(args[0], () => ", ") : "";
    used = true;
    return separator;
  });
}
