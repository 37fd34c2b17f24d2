import type { RowSummary } from "../layer-analysis.ts";

/** Sums a number of each row into mean, spread and range; numbers that are not finite are left out. */
export class SummaryTally {
  #rows = 0;
  #mean = 0;
  /** Sum of squared differences from the mean. */
  #squares = 0;
  #min = Infinity;
  #max = -Infinity;

  /** Welford's update, which does not cancel (Technometrics 4, 1962). */
  add(value: number): void {
    if (!Number.isFinite(value)) return;
    this.#rows++;
    const before = value - this.#mean;
    this.#mean += before / this.#rows;
    this.#squares += before * (value - this.#mean);
    if (value < this.#min) this.#min = value;
    if (value > this.#max) this.#max = value;
  }

  /** `null` while there is none. */
  get mean(): number | null {
    return this.#rows === 0 ? null : this.#mean;
  }

  result(): RowSummary {
    const some = this.#rows > 0;
    return {
      rows: this.#rows,
      mean: this.mean,
      deviation: this.#rows > 1 ? Math.sqrt(this.#squares / (this.#rows - 1)) : null,
      min: some ? this.#min : null,
      max: some ? this.#max : null,
    };
  }
}
