import type { z } from "zod";
import { RequestError } from "../../../core/errors.ts";
import { schema } from "../../../core/schema.ts";

export const wholeNumber = schema((z) => z.int().nonnegative());

/** Numbers that become an array of doubles. */
const doubles = schema((z) => z.array(z.number()));

/** Amounts per expert, or per pair of them. */
export const amounts = (length: number) =>
  doubles()
    .length(length)
    .transform((values) => Float64Array.from(values));

/** @throws RequestError `INVALID_ARGUMENT` naming the place. */
export function parseJson<S extends z.ZodType>(schema: S, json: unknown, what: string): z.output<S> {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new RequestError(
    "INVALID_ARGUMENT",
    `the ${what} is wrong at ${path.join(".") || "its top"}: ${message}; was it made by this version?`,
    { cause: parsed.error },
  );
}
