import { editWords } from "../core/edit-words.ts";
import type { Capture } from "./capture.ts";

/** What was changed in the computation that a capture is of, in words; empty: nothing. */
export function editsInForce({ edits, samples }: Pick<Capture, "edits" | "samples">): string[] {
  const own = new Map<string, number>();
  for (const sample of samples)
    for (const edit of sample.edits ?? []) {
      const words = editWords(edit);
      own.set(words, (own.get(words) ?? 0) + 1);
    }
  return [
    ...edits.map(editWords),
    ...[...own].map(([words, count]) => `${words} (${count} of ${samples.length} samples)`),
  ];
}
