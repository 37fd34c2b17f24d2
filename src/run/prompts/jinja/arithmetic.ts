import { fail, unsupported } from "./errors.ts";
import { percentFormat } from "./library/percent-format.ts";
import { str } from "./library/text.ts";
import { escapeHtml } from "./markup.ts";
import type { BinaryOperator } from "./syntax/ast.ts";
import { isNumber, Markup, Tuple, textOf, typeName, Undefined, type Value } from "./values.ts";

/** What a sandbox of ours allows a text or list to be repeated to: a template must not fill the memory with one sign. */
const MAX_REPEATED = 1 << 26;
const MAX_POWER_BITS = 1 << 16;

/** Python's arithmetic. @throws TemplateRuntimeError where Python raises. */
export function binary(operator: BinaryOperator, a: Value, b: Value): Value {
  if (a instanceof Undefined) return a.fail();
  if (operator === "%" && typeof a === "string") return percentFormat(a, b);
  if (b instanceof Undefined) return b.fail();
  if (isNumber(a) && isNumber(b)) return arithmetic(operator, a, b);
  if (operator === "+") return add(a, b);
  if (operator === "*") return repeat(a, b);
  if (operator === "%" && a instanceof Markup) return unsupported("% on text that was escaped");
  return mismatch(operator, a, b);
}

const mismatch = (operator: string, a: Value, b: Value): never =>
  fail(`unsupported operand type(s) for ${operator}: '${typeName(a)}' and '${typeName(b)}'`);

function add(a: Value, b: Value): Value {
  if (typeof a === "string" && typeof b === "string") return a + b;
  const [left, right] = [textOf(a), textOf(b)];
  if (left !== undefined && right !== undefined) {
    // Text that counts as HTML makes HTML of what it is added to.
    const html = (value: Value, text: string) => (value instanceof Markup ? text : escapeHtml(text));
    return new Markup(html(a, left) + html(b, right));
  }
  if (Array.isArray(a) && Array.isArray(b)) return [...a, ...b];
  if (a instanceof Tuple && b instanceof Tuple) return new Tuple([...a.items, ...b.items]);
  if (left !== undefined) return fail(`can only concatenate str (not "${typeName(b)}") to str`);
  if (Array.isArray(a)) return fail(`can only concatenate list (not "${typeName(b)}") to list`);
  return mismatch("+", a, b);
}

function repeat(a: Value, b: Value): Value {
  const [sequence, times] = typeof a === "bigint" || typeof a === "boolean" ? [b, a] : [a, b];
  if (typeof times !== "bigint" && typeof times !== "boolean") return mismatch("*", a, b);
  const count = Math.max(0, Number(times));
  const room = (size: number) => {
    if (size * count > MAX_REPEATED) fail(`a sequence of ${size * count} items is too long`);
  };
  const text = textOf(sequence);
  if (text !== undefined) {
    room(text.length);
    return sequence instanceof Markup ? new Markup(text.repeat(count)) : text.repeat(count);
  }
  const items = Array.isArray(sequence) ? sequence : sequence instanceof Tuple ? sequence.items : null;
  if (items === null) return mismatch("*", a, b);
  room(items.length);
  const repeated = Array.from({ length: count }, () => items).flat();
  return Array.isArray(sequence) ? repeated : new Tuple(repeated);
}

type Numeric = boolean | bigint | number;

function arithmetic(operator: BinaryOperator, a: Numeric, b: Numeric): Value {
  if (typeof a === "number" || typeof b === "number") return ofFloats(operator, Number(a), Number(b));
  return ofInts(operator, BigInt(a), BigInt(b));
}

function ofInts(operator: BinaryOperator, a: bigint, b: bigint): bigint | number {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return b === 0n ? fail("division by zero") : Number(a) / Number(b);
    case "//":
    case "%": {
      if (b === 0n) return fail("integer division or modulo by zero");
      // Python rounds down, JavaScript to zero.
      const down = a % b !== 0n && a < 0n !== b < 0n;
      if (operator === "//") return a / b - (down ? 1n : 0n);
      return (a % b) + (down ? b : 0n);
    }
    case "**":
      if (b < 0n) return ofFloats("**", Number(a), Number(b));
      if (BigInt(a.toString(2).length) * b > MAX_POWER_BITS) return fail(`${a} ** ${b} is too large`);
      return a ** b;
  }
}

function ofFloats(operator: BinaryOperator, a: number, b: number): number {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return b === 0 ? fail("float division by zero") : a / b;
    case "//":
    case "%": {
      if (b === 0) return fail("float floor division by zero");
      const rest = a % b;
      const modulo = rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
      return operator === "%" ? modulo : Math.round((a - modulo) / b);
    }
    case "**":
      if (a === 0 && b < 0) return fail("0.0 cannot be raised to a negative power");
      if (a < 0 && !Number.isInteger(b)) return unsupported("a complex number");
      if (!Number.isFinite(a ** b) && Number.isFinite(a) && Number.isFinite(b))
        return fail("result too large");
      return a ** b;
  }
}

export function negate(value: Value): Value {
  if (value instanceof Undefined) return value.fail();
  if (typeof value === "number") return -value;
  if (isNumber(value)) return -BigInt(value);
  return fail(`bad operand type for unary -: '${typeName(value)}'`);
}

export function positive(value: Value): Value {
  if (value instanceof Undefined) return value.fail();
  if (typeof value === "number") return value;
  if (isNumber(value)) return BigInt(value);
  return fail(`bad operand type for unary +: '${typeName(value)}'`);
}

/** Jinja's `a ~ b`. */
export const concat = (values: readonly Value[]): string => values.map(str).join("");
