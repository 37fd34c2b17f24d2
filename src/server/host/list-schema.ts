import { z } from "zod";

/**
 * A list of at most so many items. Its length is looked at first: zod checks every item and keeps an issue for each
 * that is wrong, which takes a second for a few hundred thousand.
 */
export const list = <S extends z.ZodType>(item: S, { min = 0, max }: { min?: number; max: number }) =>
  z.preprocess(
    (given, context) => {
      if (Array.isArray(given) && given.length > max) {
        context.addIssue(`has ${given.length} items, the limit is ${max}`);
        return z.NEVER;
      }
      return given;
    },
    min > 0 ? z.array(item).min(min).max(max) : z.array(item).max(max),
  );

/** Token ids, in one pass: there may be hundreds of thousands. */
export const tokenIds = z
  .custom<number[]>(isTokenIds, "must be a list of token ids, whole numbers from 0 on, and not empty")
  .meta({ type: "array", minItems: 1, items: { type: "integer", minimum: 0 } });

export function isTokenIds(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((id) => Number.isSafeInteger(id) && id >= 0);
}
