import type { RowBatch } from "../../capture/rows.ts";
import { EngineError } from "../../errors.ts";
import type { Finished } from "../engine.ts";

/**
 * Keeps the end of a sample back until all of its rows are there: vLLM tells both on ways of their own, and a sink may
 * rely on the order.
 */
export class SampleEnds {
  /** Rows that have come, by sample. */
  readonly #rows = new Map<number, number>();
  readonly #waiting = new Map<number, { readonly end: Finished; readonly rows: number }>();
  #open: number;

  /** @param samples that are to end. */
  constructor(samples: number) {
    this.#open = samples;
  }

  arrived({ sample }: RowBatch): void {
    for (const index of sample) this.#rows.set(index, (this.#rows.get(index) ?? 0) + 1);
  }

  ended(end: Finished, rows: number): void {
    this.#waiting.set(end.sample, { end, rows });
  }

  /** The samples that have ended and are whole; each once. */
  take(): Finished[] {
    const whole = [...this.#waiting.values()].filter(
      ({ end, rows }) => (this.#rows.get(end.sample) ?? 0) === rows,
    );
    for (const { end } of whole) {
      this.#waiting.delete(end.sample);
      this.#rows.delete(end.sample);
    }
    this.#open -= whole.length;
    return whole.map(({ end }) => end);
  }

  /** @throws EngineError `ENGINE_FAILED` naming what is missing, at the end of a run. */
  assertAll(): void {
    if (this.#open === 0) return;
    const [first] = this.#waiting.values();
    const what = first
      ? `sample ${first.end.sample} has ${this.#rows.get(first.end.sample) ?? 0} of ${first.rows} rows`
      : `${this.#open} samples did not end`;
    throw new EngineError("ENGINE_FAILED", `vLLM ended the run, but ${what}`);
  }
}
