import { signal } from "@preact/signals";
import type { WordsFacts } from "../../../src/views/facts/words.ts";
import { server } from "./server.ts";

export type TermText = WordsFacts["terms"][string];

/** The field's words by name, as the measures bring them; empty until the server has told them. */
export const terms = signal<WordsFacts["terms"]>({});

/** A page without its words still shows everything: who fails to load them may try again. */
export async function loadTerms(): Promise<void> {
  try {
    terms.value = (await server.get("/api/words", {})).terms;
  } catch {
    // Asked again when somebody points at a word.
  }
}
