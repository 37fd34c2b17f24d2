import { fail } from "../errors.ts";
import { text } from "../signature.ts";
import { iterate, type Kwargs, Lazy, truthy, type Value } from "../values.ts";
import type { Filter } from "./filter.ts";
import type { Predicate } from "./predicates.ts";
import { attributeOf } from "./sequence-filters.ts";

/** Where filters and tests are looked up by name. */
export interface Names {
  filter(name: string): Filter;
  test(name: string): Predicate;
}

function mapper({ filter }: Names, args: readonly Value[], kwargs: Kwargs): (value: Value) => Value {
  if (args.length === 0 && kwargs.has("attribute")) {
    for (const name of kwargs.keys())
      if (name !== "attribute" && name !== "default") fail(`map takes no argument '${name}'`);
    return attributeOf(kwargs.get("attribute")!, kwargs.get("default") ?? null);
  }
  const [name, ...rest] = args;
  if (name === undefined) return fail("map requires a filter argument");
  const apply = filter(text(name));
  return (value) => apply(value, rest, kwargs);
}

function selector(names: Names, args: readonly Value[], byAttribute: boolean): (value: Value) => boolean {
  const [attribute, ...others] = byAttribute ? args : [null, ...args];
  if (attribute === undefined) return fail("Missing parameter for attribute name");
  const get = attributeOf(attribute);
  const [name, ...rest] = others;
  if (name === undefined) return (value) => truthy(get(value));
  const test = names.test(text(name));
  return (value) => test(get(value), ...rest);
}

/** Filters that apply other filters or tests to each item; their values come as they are taken. */
export function higherFilters(names: Names): ReadonlyMap<string, Filter> {
  const select =
    (name: string, wanted: boolean, byAttribute: boolean): Filter =>
    (value, args) =>
      new Lazy(
        name,
        (function* () {
          if (!truthy(value)) return;
          const test = selector(names, args, byAttribute);
          for (const each of iterate(value)) if (test(each) === wanted) yield each;
        })(),
      );
  return new Map<string, Filter>([
    [
      "map",
      (value, args, kwargs) =>
        new Lazy(
          "map",
          (function* () {
            if (!truthy(value)) return;
            const map = mapper(names, args, kwargs);
            for (const each of iterate(value)) yield map(each);
          })(),
        ),
    ],
    ["select", select("select", true, false)],
    ["reject", select("reject", false, false)],
    ["selectattr", select("selectattr", true, true)],
    ["rejectattr", select("rejectattr", false, true)],
  ]);
}
