import { getAttribute, getItem, slice } from "./access.ts";
import { binary, concat, negate, positive } from "./arithmetic.ts";
import { compare } from "./compare.ts";
import { step } from "./deadline.ts";
import { fail, JinjaError } from "./errors.ts";
import { findFilter, findTest } from "./library/library.ts";
import type { Scope } from "./scope.ts";
import { text } from "./signature.ts";
import type { Arguments, Expression } from "./syntax/ast.ts";
import {
  Attributes,
  Callable,
  Dict,
  iterate,
  type Kwargs,
  Tuple,
  truthy,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** The value of an expression. @throws JinjaError with the line. */
export function evaluate(expression: Expression, scope: Scope): Value {
  step();
  try {
    return compute(expression, scope);
  } catch (error) {
    if (error instanceof JinjaError) error.line ??= expression.line;
    throw error;
  }
}

function compute(node: Expression, scope: Scope): Value {
  switch (node.kind) {
    case "literal":
      return node.value;
    case "name":
      return scope.get(node.name);
    case "list":
      return node.items.map((item) => evaluate(item, scope));
    case "tuple":
      return new Tuple(node.items.map((item) => evaluate(item, scope)));
    case "dict":
      return new Dict(node.items.map(([key, value]) => [evaluate(key, scope), evaluate(value, scope)]));
    case "attribute":
      return getAttribute(evaluate(node.object, scope), node.name);
    case "item":
      return getItem(evaluate(node.object, scope), evaluate(node.index, scope));
    case "slice": {
      const bound = (each: Expression | null) => (each === null ? null : evaluate(each, scope));
      return slice(evaluate(node.object, scope), bound(node.start), bound(node.stop), bound(node.step));
    }
    case "call":
      return callValue(evaluate(node.callee, scope), ...argumentsOf(node, scope));
    case "filter":
      return applyFilter(node, evaluate(node.input!, scope), scope);
    case "test": {
      const input = evaluate(node.input, scope);
      const [args, kwargs] = argumentsOf(node, scope);
      if (kwargs.size > 0) return fail(`the test ${node.name} takes no named arguments`);
      return findTest(node.name)(input, ...args);
    }
    case "not":
      return !truthy(evaluate(node.operand, scope));
    case "negative":
      return negate(evaluate(node.operand, scope));
    case "positive":
      return positive(evaluate(node.operand, scope));
    case "and": {
      const left = evaluate(node.left, scope);
      return truthy(left) ? evaluate(node.right, scope) : left;
    }
    case "or": {
      const left = evaluate(node.left, scope);
      return truthy(left) ? left : evaluate(node.right, scope);
    }
    case "binary":
      return binary(node.operator, evaluate(node.left, scope), evaluate(node.right, scope));
    case "compare": {
      let left = evaluate(node.first, scope);
      for (const [operator, operand] of node.rest) {
        const right = evaluate(operand, scope);
        if (!compare(operator, left, right)) return false;
        left = right;
      }
      return true;
    }
    case "concat":
      return concat(node.items.map((item) => evaluate(item, scope)));
    case "if":
      if (truthy(evaluate(node.test, scope))) return evaluate(node.yes, scope);
      if (node.no !== null) return evaluate(node.no, scope);
      return new Undefined("an if without an else was false");
  }
}

export function applyFilter(node: Expression & { kind: "filter" }, input: Value, scope: Scope): Value {
  return findFilter(node.name)(input, ...argumentsOf(node, scope));
}

export function argumentsOf(node: Arguments, scope: Scope): readonly [Value[], Map<string, Value>] {
  const args = node.args.map((each) => evaluate(each, scope));
  if (node.spread) for (const each of iterate(evaluate(node.spread, scope))) args.push(each);
  const kwargs = new Map(node.kwargs.map(([name, each]) => [name, evaluate(each, scope)]));
  if (node.kwSpread) {
    const spread = evaluate(node.kwSpread, scope);
    if (!(spread instanceof Dict)) return fail("what follows ** must be a dict");
    for (const [name, value] of spread.entries()) {
      if (kwargs.has(text(name))) return fail(`two values for the argument '${text(name)}'`);
      kwargs.set(text(name), value);
    }
  }
  return [args, kwargs];
}

export function callValue(callee: Value, args: readonly Value[], kwargs: Kwargs): Value {
  if (callee instanceof Callable || callee instanceof Attributes) return callee.call(args, kwargs);
  if (callee instanceof Undefined) return callee.fail();
  return fail(`'${typeName(callee)}' object is not callable`);
}
