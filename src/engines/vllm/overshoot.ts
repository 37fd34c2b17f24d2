import type { EngineRequest, Finished } from "../../core/request.ts";
import { takeRowsOf } from "../../core/row-batch.ts";
import type { RowBatch } from "../../core/rows.ts";

/**
 * Where a stop string ends a text, vLLM may have gone on for a token or two by the time it sees it. The generated rows
 * of samples with stop strings are kept back until the text is known, and those beyond it are dropped.
 */
export class Overshoot {
  readonly #requests: readonly EngineRequest[];
  readonly #held = new Map<number, RowBatch[]>();

  constructor(requests: readonly EngineRequest[]) {
    this.#requests = requests;
  }

  /** @returns the rows that certainly belong to their samples; `null`: none of them. */
  pass(batch: RowBatch): RowBatch | null {
    const waits = (row: number) =>
      batch.phase[row] === 1 && this.#requests[batch.sample[row]!]!.sampling.stop.length > 0;
    const rows = Array.from({ length: batch.rows }, (_, row) => row);
    const held = rows.filter(waits);
    if (held.length === 0) return batch;
    for (const sample of new Set(held.map((row) => batch.sample[row]!))) {
      const own = takeRowsOf(
        batch,
        held.filter((row) => batch.sample[row] === sample),
      );
      this.#held.set(sample, [...(this.#held.get(sample) ?? []), own]);
    }
    const free = rows.filter((row) => !waits(row));
    return free.length > 0 ? takeRowsOf(batch, free) : null;
  }

  /** The rows that were kept back of samples that have ended. */
  *release(finished: readonly Finished[]): Generator<RowBatch, void, void> {
    for (const { sample, tokens } of finished) {
      // The token drawn last never goes through the model.
      const end = this.#requests[sample]!.tokens.length + Math.max(0, tokens.length - 1);
      for (const batch of this.#held.get(sample) ?? []) {
        const rows = Array.from({ length: batch.rows }, (_, row) => row).filter(
          (row) => batch.position[row]! < end,
        );
        if (rows.length > 0) yield takeRowsOf(batch, rows);
      }
      this.#held.delete(sample);
    }
  }
}
