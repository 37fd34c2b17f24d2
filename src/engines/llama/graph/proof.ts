/** What was to be shown and could not be: its words say what was found instead. */
export class Unproven extends Error {}

/** A thing that is shown to be what it is said to be, or why not. */
export type Proof<T> = { readonly proven: T } | { readonly refused: string };

/** Run a search that throws {@link Unproven} where it ends. */
export function prove<T>(search: () => T): Proof<T> {
  try {
    return { proven: search() };
  } catch (error) {
    if (error instanceof Unproven) return { refused: error.message };
    throw error;
  }
}

/** @throws Unproven */
export function must(condition: boolean, otherwise: () => string): asserts condition {
  if (!condition) throw new Unproven(otherwise());
}
