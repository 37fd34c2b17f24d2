import type { Finished } from "../core/request.ts";
import { takeRowsOf } from "../core/row-batch.ts";
import type { RowBatch } from "../core/rows.ts";
import type { RunEnd, RunHeader, Sink } from "../core/sink.ts";

/** Passes on the first n rows of a run, in the order they are computed, and counts the others. */
export class RowBudget<R> implements Sink<R> {
  readonly #next: Sink<R>;
  #left: number;
  #dropped = 0;

  constructor(next: Sink<R>, rows: number) {
    this.#next = next;
    this.#left = rows;
  }

  open(header: RunHeader): void | Promise<void> {
    return this.#next.open(header);
  }

  write(batch: RowBatch): void | Promise<void> {
    const kept = Math.min(batch.rows, this.#left);
    this.#left -= kept;
    this.#dropped += batch.rows - kept;
    if (kept === batch.rows) return this.#next.write(batch);
    if (kept > 0) return this.#next.write(takeRowsOf(batch, [...Array(kept).keys()]));
  }

  finish(samples: readonly Finished[]): void | Promise<void> {
    return this.#next.finish?.(samples);
  }

  close(end: RunEnd): R | Promise<R> {
    return this.#next.close({ ...end, dropped: this.#dropped });
  }
}
