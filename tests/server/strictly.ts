import type { z } from "zod";

/** What is wrong with a value, or `null`; a field that no schema names is wrong as well. */
export function strictly(schema: z.ZodType, value: unknown): string | null {
  const parsed = schema.safeParse(value);
  if (!parsed.success) return parsed.error.message;
  // Zod leaves out what it does not know.
  return JSON.stringify(sorted(parsed.data)) === JSON.stringify(sorted(value))
    ? null
    : "it has unknown fields";
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([x], [y]) => (x < y ? -1 : 1))
      .map(([key, of]) => [key, sorted(of)]),
  );
}
