import { equal } from "../compare.ts";
import { fail } from "../errors.ts";
import { bind, int } from "../signature.ts";
import { Callable, Dict, type Kwargs, orElse, Tuple, type Value, View } from "../values.ts";

type Method<T> = (self: T, args: readonly Value[], kwargs: Kwargs) => Value;

/** Python's methods of `dict` that change nothing. */
const DICT: ReadonlyMap<string, Method<Dict>> = new Map<string, Method<Dict>>([
  ["copy", (self) => new Dict(self.entries())],
  ["items", (self) => new View("items", self)],
  ["keys", (self) => new View("keys", self)],
  ["values", (self) => new View("values", self)],
  [
    "get",
    (self, args, kwargs) => {
      if (kwargs.size > 0) return fail("dict.get() takes no keyword arguments");
      if (args.length < 1 || args.length > 2) return fail("dict.get() takes one or two arguments");
      return orElse(self.get(args[0]!), () => args[1] ?? null);
    },
  ],
]);

const SEQUENCE: ReadonlyMap<string, Method<readonly Value[]>> = new Map<string, Method<readonly Value[]>>([
  ["count", (self, [item = null]) => BigInt(self.filter((each) => equal(each, item)).length)],
  [
    "index",
    (self, args, kwargs) => {
      const { value = null, start, stop } = bind("index", ["value", "start", "stop"], args, kwargs);
      const at = (index: number) => Math.max(0, index < 0 ? index + self.length : index);
      const to = Math.min(self.length, at(int(stop, self.length)));
      for (let i = at(int(start, 0)); i < to; i++) if (equal(self[i]!, value)) return BigInt(i);
      return fail("the value is not in the list");
    },
  ],
]);

/** Methods that would change a value: the sandbox that chat templates run in refuses them. */
const CHANGING: Readonly<Record<"dict" | "list", ReadonlySet<string>>> = {
  dict: new Set(["clear", "pop", "popitem", "setdefault", "update"]),
  list: new Set(["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"]),
};

/** A method of a dict, list or tuple, or `undefined` where there is none of that name. */
export function collectionMethod(value: Dict | Value[] | Tuple, name: string): Callable | undefined {
  const kind = value instanceof Dict ? "dict" : Array.isArray(value) ? "list" : "tuple";
  if (kind !== "tuple" && CHANGING[kind].has(name))
    return new Callable(name, () => fail(`access to attribute '${name}' of '${kind}' object is unsafe`));
  if (value instanceof Dict) {
    const method = DICT.get(name);
    return method && new Callable(name, (args, kwargs) => method(value, args, kwargs));
  }
  if (kind === "list" && name === "copy") return new Callable(name, () => [...(value as Value[])]);
  const method = SEQUENCE.get(name);
  const items = value instanceof Tuple ? value.items : value;
  return method && new Callable(name, (args, kwargs) => method(items, args, kwargs));
}
