import type { Finished } from "../core/request.ts";
import { takeRowsOf } from "../core/row-batch.ts";
import type { RowBatch } from "../core/rows.ts";
import type { RunEnd, RunHeader, Sink } from "../core/sink.ts";

/**
 * Keeps back the last n rows of each sample and passes them on when it ends: which rows are the last is known only
 * then. Holds at most n rows of each sample that is running. Of a sample that does not end nothing is passed on.
 */
export class LastRows<R> implements Sink<R> {
  readonly #next: Sink<R>;
  readonly #countOf: (sample: number) => number | null;
  /** Per sample its newest rows, oldest first; each is a batch of one row. */
  readonly #held = new Map<number, RowBatch[]>();

  /** @param countOf of a sample; `null`: its rows pass. */
  constructor(next: Sink<R>, countOf: (sample: number) => number | null) {
    this.#next = next;
    this.#countOf = countOf;
  }

  open(header: RunHeader): void | Promise<void> {
    return this.#next.open(header);
  }

  write(batch: RowBatch): void | Promise<void> {
    const passing: number[] = [];
    for (let row = 0; row < batch.rows; row++) {
      const sample = batch.sample[row]!;
      const count = this.#countOf(sample);
      if (count === null) {
        passing.push(row);
        continue;
      }
      const held = this.#held.get(sample) ?? [];
      this.#held.set(sample, held);
      held.push(takeRowsOf(batch, [row]));
      if (held.length > count) held.shift();
    }
    if (passing.length > 0)
      return this.#next.write(passing.length === batch.rows ? batch : takeRowsOf(batch, passing));
  }

  async finish(samples: readonly Finished[]): Promise<void> {
    for (const { sample } of samples) {
      for (const row of this.#held.get(sample) ?? []) await this.#next.write(row);
      this.#held.delete(sample);
    }
    await this.#next.finish?.(samples);
  }

  close(end: RunEnd): R | Promise<R> {
    return this.#next.close(end);
  }
}
