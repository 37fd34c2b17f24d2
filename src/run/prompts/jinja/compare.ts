import { fail } from "./errors.ts";
import type { CompareOperator } from "./syntax/ast.ts";
import {
  Dict,
  isNumber,
  iterate,
  Range,
  sizeOf,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

/** Python's `a == b`. */
export function equal(a: Value, b: Value): boolean {
  if (isNumber(a) && isNumber(b)) return sameNumber(plain(a), plain(b));
  const [left, right] = [textOf(a), textOf(b)];
  if (left !== undefined || right !== undefined) return left === right;
  if (Array.isArray(a)) return Array.isArray(b) && allEqual(a, b);
  if (a instanceof Tuple) return b instanceof Tuple && allEqual(a.items, b.items);
  if (a instanceof Dict) return b instanceof Dict && equalDicts(a, b);
  if (a instanceof Range) return b instanceof Range && allEqual([...a], [...b]);
  if (a instanceof Undefined) return b instanceof Undefined;
  return a === b;
}

/** JavaScript compares a bigint with a number by their values, but not with `===`. No number is NaN's equal. */
const sameNumber = (a: bigint | number, b: bigint | number) => a >= b && a <= b;

const plain = (value: boolean | bigint | number) => (typeof value === "boolean" ? BigInt(value) : value);

const allEqual = (a: readonly Value[], b: readonly Value[]) =>
  a.length === b.length && a.every((item, i) => equal(item, b[i]!));

const equalDicts = (a: Dict, b: Dict) =>
  a.size === b.size &&
  a.entries().every(([key, value]) => {
    const other = b.get(key);
    return other !== undefined && equal(value, other);
  });

/** Python's `a < b`. @throws TemplateRuntimeError for kinds that have no order. */
export function less(a: Value, b: Value, operator = "<"): boolean {
  if (isNumber(a) && isNumber(b)) return plain(a) < plain(b);
  const [left, right] = [textOf(a), textOf(b)];
  if (left !== undefined && right !== undefined) return lessText(left, right);
  if (Array.isArray(a) && Array.isArray(b)) return lessItems(a, b);
  if (a instanceof Tuple && b instanceof Tuple) return lessItems(a.items, b.items);
  if (a instanceof Undefined) return a.fail();
  if (b instanceof Undefined) return b.fail();
  return fail(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

/** By code points: JavaScript's order is by UTF-16 units, which puts U+FF00 behind an emoji. */
function lessText(a: string, b: string): boolean {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++)
    if (a.charCodeAt(i) !== b.charCodeAt(i)) {
      const lead = (text: string) => (/[\udc00-\udfff]/.test(text[i]!) && i > 0 ? i - 1 : i);
      return a.codePointAt(lead(a))! < b.codePointAt(lead(b))!;
    }
  return a.length < b.length;
}

function lessItems(a: readonly Value[], b: readonly Value[]): boolean {
  for (const [i, item] of a.entries()) {
    if (i >= b.length) return false;
    if (!equal(item, b[i]!)) return less(item, b[i]!);
  }
  return a.length < b.length;
}

/** Python's `sorted(values, key=key)`. */
export function sorted(values: Iterable<Value>, key: (value: Value) => Value, reverse = false): Value[] {
  const keyed = Array.from(values, (value) => ({ value, key: key(value) }));
  // Reversed twice, equal ones keep their order.
  if (reverse) keyed.reverse();
  keyed.sort((a, b) => (less(a.key, b.key) ? -1 : less(b.key, a.key) ? 1 : 0));
  if (reverse) keyed.reverse();
  return keyed.map(({ value }) => value);
}

/** Python's `item in container`. */
export function contains(container: Value, item: Value): boolean {
  const text = textOf(container);
  if (text !== undefined) {
    const part = textOf(item);
    if (part === undefined)
      return fail(`'in <string>' requires string as left operand, not ${typeName(item)}`);
    return text.includes(part);
  }
  if (container instanceof Dict) return container.has(item);
  if (container instanceof View && container.kind === "keys") return container.dict.has(item);
  if (sizeOf(container) === undefined && typeName(container) !== "generator")
    return fail(`argument of type '${typeName(container)}' is not iterable`);
  for (const each of iterate(container)) if (equal(each, item)) return true;
  return false;
}

export function compare(operator: CompareOperator, a: Value, b: Value): boolean {
  switch (operator) {
    case "==":
      return equal(a, b);
    case "!=":
      return !equal(a, b);
    case "<":
    case ">":
      return operator === "<" ? less(a, b) : less(b, a, ">");
    case "<=":
    case ">=": {
      const [low, high] = operator === "<=" ? [a, b] : [b, a];
      return less(low, high, operator) || equal(low, high);
    }
    case "in":
      return contains(b, a);
    case "not in":
      return !contains(b, a);
  }
}
