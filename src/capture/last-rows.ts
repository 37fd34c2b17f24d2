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
  readonly #count: number;
  /** Per sample its newest rows, oldest first; each is a batch of one row. */
  readonly #held = new Map<number, RowBatch[]>();

  constructor(next: Sink<R>, count: number) {
    this.#next = next;
    this.#count = count;
  }

  open(header: RunHeader): void | Promise<void> {
    return this.#next.open(header);
  }

  write(batch: RowBatch): void {
    for (let row = 0; row < batch.rows; row++) {
      const sample = batch.sample[row]!;
      const held = this.#held.get(sample) ?? [];
      this.#held.set(sample, held);
      held.push(takeRowsOf(batch, [row]));
      if (held.length > this.#count) held.shift();
    }
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
