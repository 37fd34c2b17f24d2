import { binary } from "../arithmetic.ts";
import { compare, contains, equal } from "../compare.ts";
import { fail } from "../errors.ts";
import {
  Attributes,
  Callable,
  Dict,
  isNumber,
  iterableOf,
  Lazy,
  Markup,
  orElse,
  sizeOf,
  textOf,
  Undefined,
  type Value,
  View,
} from "../values.ts";
import { str } from "./text.ts";

/** A test: `value is name(argument)`. */
export type Predicate = (value: Value, ...args: Value[]) => boolean;

const argument = (value: Value | undefined) => orElse(value, () => fail("the test needs an argument"));

const CASED = /[\p{Lu}\p{Ll}\p{Lt}]/u;

/** Jinja's tests that need nothing but the value. */
export const PREDICATES: ReadonlyMap<string, Predicate> = new Map<string, Predicate>([
  ["odd", (value) => equal(binary("%", value, 2n), 1n)],
  ["even", (value) => equal(binary("%", value, 2n), 0n)],
  ["divisibleby", (value, by) => equal(binary("%", value, argument(by)), 0n)],
  ["defined", (value) => !(value instanceof Undefined)],
  ["undefined", (value) => value instanceof Undefined],
  ["none", (value) => value === null],
  ["boolean", (value) => typeof value === "boolean"],
  ["false", (value) => value === false],
  ["true", (value) => value === true],
  ["integer", (value) => typeof value === "bigint"],
  ["float", (value) => typeof value === "number"],
  ["number", isNumber],
  ["lower", (value) => CASED.test(str(value)) && str(value) === str(value).toLowerCase()],
  ["upper", (value) => CASED.test(str(value)) && str(value) === str(value).toUpperCase()],
  ["string", (value) => textOf(value) !== undefined],
  ["mapping", (value) => value instanceof Dict],
  [
    "sequence",
    (value) => sizeOf(value) !== undefined && !(value instanceof View || value instanceof Attributes),
  ],
  ["iterable", (value) => iterableOf(value) !== undefined || value instanceof Lazy],
  ["callable", (value) => value instanceof Callable || value instanceof Undefined],
  ["sameas", (value, other) => same(value, argument(other))],
  ["escaped", (value) => value instanceof Markup],
  ["in", (value, container) => contains(argument(container), value)],
  ...(
    [
      ["==", ["==", "eq", "equalto"]],
      ["!=", ["!=", "ne"]],
      [">", [">", "gt", "greaterthan"]],
      [">=", [">=", "ge"]],
      ["<", ["<", "lt", "lessthan"]],
      ["<=", ["<=", "le"]],
    ] as const
  ).flatMap(([operator, names]) =>
    names.map((name): [string, Predicate] => [name, (a, b) => compare(operator, a, argument(b))]),
  ),
]);

/** Python's `is`: small ints and texts are one object there, as far as templates can tell. */
const same = (a: Value, b: Value) => a === b;
