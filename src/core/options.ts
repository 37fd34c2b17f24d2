import type { z } from "zod";
import { RequestError } from "./errors.ts";
import { nearMiss } from "./near-miss.ts";

/**
 * Checks one value and returns it.
 *
 * @param name of the option, as the message is to say it: `layers`, `select.last`.
 * @throws RequestError `INVALID_ARGUMENT` naming the option, what it may be and what it was.
 */
export type Field<T> = (value: unknown, name: string) => T;

/** A field for every option of `O`: the compiler sees to it that none is forgotten. */
export type Fields<O> = { readonly [K in keyof O]-?: Field<Exclude<O[K], undefined>> };

/**
 * A strict reader of an options object: what it does not know is an error that says which option was meant, and what
 * it knows has the right type. Options that are `undefined` were not given.
 *
 * @param call whose options they are, for messages: `analyzeCapture`.
 * @param fields one for each option, or a zod schema of all of them (as a function, so that zod is loaded when it is
 *   used).
 * @param required those that have no default.
 * @example
 * import type { CompareOptions } from "moescope/analysis";
 * const read = optionsReader<CompareOptions>("compareCaptures", { seed: whole(0), tokens: whole(0) });
 * const { seed = 0 } = read({ sed: 1 }); // throws: compareCaptures has no option "sed": did you mean seed?
 */
export function optionsReader<O extends object>(
  call: string,
  fields: Fields<O> | (() => z.ZodObject),
  required: readonly (keyof O & string)[] = [],
): (given: unknown) => O {
  return (given = {}) => {
    const names = typeof fields === "function" ? Object.keys(fields().shape) : Object.keys(fields);
    const entries = entriesOf(call, given, names, required);
    if (typeof fields === "function") return parsed(call, fields(), Object.fromEntries(entries)) as O;
    const read = entries.map(([name, value]) => [
      name,
      inCall(call, () => (fields as Record<string, Field<unknown>>)[name]!(value, name)),
    ]);
    return Object.fromEntries(read) as O;
  };
}

/** Options within options, `select: { last: 4 }`, read as strictly. */
export const optionsField =
  <O extends object>(fields: Fields<O>, required: readonly (keyof O & string)[] = []): Field<O> =>
  (value, name) =>
    Object.fromEntries(
      entriesOf(name, value, Object.keys(fields), required).map(([key, each]) => [
        key,
        (fields as Record<string, Field<unknown>>)[key]!(each, `${name}.${key}`),
      ]),
    ) as O;

/** One argument that is not an options object, checked with the same fields. */
export function argument<T>(call: string, name: string, value: unknown, field: Field<T>): T {
  return inCall(call, () => field(value, name));
}

/** A whole number from `least` to `most`. */
export const whole =
  (least: number, most = Number.MAX_SAFE_INTEGER): Field<number> =>
  (value, name) => {
    if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most)
      return value as number;
    const to = most === Number.MAX_SAFE_INTEGER ? "" : ` to ${most}`;
    throw refused(`${name} must be a whole number from ${least}${to}, got ${shown(value)}`);
  };

/** A finite number within limits, which are named as the message shows them: `above 0, to 1`. */
export const number =
  (limits: string, within: (value: number) => boolean): Field<number> =>
  (value, name) => {
    if (typeof value === "number" && Number.isFinite(value) && within(value)) return value;
    throw refused(`${name} must be a number ${limits}, got ${shown(value)}`);
  };

/** A value that somebody else checks. */
export const unchecked = <T>(value: unknown): T => value as T;

export const text: Field<string> = (value, name) => {
  if (typeof value === "string") return value;
  throw refused(`${name} must be text, got ${shown(value)}`);
};

export const flag: Field<boolean> = (value, name) => {
  if (typeof value === "boolean") return value;
  throw refused(`${name} must be true or false, got ${shown(value)}`);
};

/** One of some words. */
export const oneOf =
  <T extends string>(words: readonly T[]): Field<T> =>
  (value, name) => {
    if (words.includes(value as T)) return value as T;
    const meant = typeof value === "string" ? nearMiss(value, words) : null;
    throw refused(
      `${name} must be one of ${words.join(", ")}, got ${shown(value)}${meant === null ? "" : `: did you mean ${meant}?`}`,
    );
  };

/** An array (or another iterable that is no text) of values that are each checked. */
export const list =
  <T>(each: Field<T>): Field<readonly T[]> =>
  (value, name) => {
    if (typeof value !== "object" || value === null || !(Symbol.iterator in value))
      throw refused(`${name} must be an array, got ${shown(value)}`);
    return Array.from(value as Iterable<unknown>, (item, i) => each(item, `${name}[${i}]`));
  };

/** A function to be called. */
export function callback<F extends (...given: never[]) => unknown>(value: unknown, name: string): F {
  if (typeof value === "function") return value as F;
  throw refused(`${name} must be a function, got ${shown(value)}`);
}

export const abortSignal: Field<AbortSignal> = (value, name) => {
  // Not by its class: a signal may come from another realm or a polyfill.
  if (
    typeof value === "object" &&
    value !== null &&
    "aborted" in value &&
    typeof (value as AbortSignal).addEventListener === "function"
  )
    return value as AbortSignal;
  throw refused(`${name} must be an AbortSignal, got ${shown(value)}`);
};

/** A value that a test recognises; `what` says what it must be, with its article. */
export const thing =
  <T>(what: string, is: (value: object) => boolean): Field<T> =>
  (value, name) => {
    if (typeof value === "object" && value !== null && is(value)) return value as T;
    const awaited = value instanceof Promise ? "; await it first" : "";
    throw refused(`${name} must be ${what}, got ${shown(value)}${awaited}`);
  };

/** What was given of the known options, and nothing else. */
function entriesOf(
  call: string,
  given: unknown,
  names: readonly string[],
  required: readonly string[],
): [string, unknown][] {
  if (!isPlain(given))
    throw refused(`${call} takes its options as an object, { name: value }; it got ${shown(given)}`);
  const entries = Object.entries(given);
  for (const [name] of entries) if (!names.includes(name)) throw refused(unknownOption(call, name, names));
  const said = entries.filter(([, value]) => value !== undefined);
  for (const name of required)
    if (!said.some(([other]) => other === name)) throw refused(`${call} needs the option ${name}`);
  return said;
}

function unknownOption(call: string, name: string, known: readonly string[]): string {
  const meant = nearMiss(name, known);
  if (meant !== null) return `${call} has no option "${name}": did you mean ${meant}?`;
  return `${call} has no option "${name}"; ${known.length === 0 ? "it has none" : `its options are ${known.join(", ")}`}`;
}

function parsed(call: string, schema: z.ZodObject, given: object): unknown {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw refused(`${call}: ${path.join(".") || "its options"}: ${message}`, result.error);
}

/** Says whose option it is. */
function inCall<T>(call: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof RequestError) throw refused(`${call}: ${error.message}`, error.cause);
    throw error;
  }
}

function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

const LONGEST = 40;

/** A value as a message shows it: short, and with what it is where that is not plain to see. */
function shown(value: unknown): string {
  if (typeof value === "string") {
    const cut = value.length > LONGEST ? `${value.slice(0, LONGEST)}…` : value;
    return JSON.stringify(cut);
  }
  if (typeof value === "function") return "a function";
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : `an array of ${value.length}`;
  const name = value.constructor?.name;
  return name === undefined || name === "Object" ? "an object" : `a ${name}`;
}

function refused(message: string, cause?: unknown): RequestError {
  return new RequestError("INVALID_ARGUMENT", message, cause === undefined ? {} : { cause });
}
