import { fail } from "./errors.ts";
import { isNumber, type Kwargs, textOf, typeName, Undefined, type Value } from "./values.ts";

/** The arguments of a call by the names of a Python function's parameters; one that was not given is `undefined`. */
export function bind<N extends string>(
  name: string,
  parameters: readonly N[],
  args: readonly Value[],
  kwargs: Kwargs,
): Partial<Record<N, Value>> {
  if (args.length > parameters.length)
    return fail(`${name}() takes at most ${parameters.length} arguments, ${args.length} were given`);
  const bound: Partial<Record<N, Value>> = {};
  for (const [i, value] of args.entries()) bound[parameters[i]!] = value;
  for (const [key, value] of kwargs) {
    const parameter = parameters.find((each) => each === key);
    if (parameter === undefined) return fail(`${name}() has no parameter '${key}'`);
    if (parameter in bound) return fail(`${name}() got two values for '${key}'`);
    bound[parameter] = value;
  }
  return bound;
}

/** A whole number that a function asks for. */
export function int(value: Value | undefined, fallback?: number): number {
  if (value === undefined) return fallback ?? fail("an argument is missing");
  if (value instanceof Undefined) return value.fail();
  if (typeof value === "bigint" || typeof value === "boolean") return Number(value);
  return fail(`'${typeName(value)}' object cannot be interpreted as an integer`);
}

/** A text that a function asks for. */
export function text(value: Value | undefined, fallback?: string): string {
  if (value === undefined) return fallback ?? fail("an argument is missing");
  if (value instanceof Undefined) return value.fail();
  return textOf(value) ?? fail(`expected a str, got a ${typeName(value)}`);
}

export const isInt = (value: Value): value is bigint | boolean =>
  isNumber(value) && typeof value !== "number";
