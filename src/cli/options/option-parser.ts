import { InvalidArgumentError } from "commander";
import { MoescopeError } from "../../core/errors.ts";
import { UsageError } from "../usage-error.ts";

/** Collects the values of an option that may repeat. */
export const append = (text: string, before: readonly string[] = []) => [...before, text];

/** {@link append} of parsed values. */
export const appended =
  <T>(parse: (text: string) => T) =>
  (text: string, before: readonly T[] = []) => [...before, parse(text)];

/** A parser's complaint as commander's, which names the option. */
export function value<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof UsageError || error instanceof MoescopeError)
        throw new InvalidArgumentError(error.message);
      throw error;
    }
  };
}
