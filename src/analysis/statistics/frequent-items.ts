/**
 * The most frequent of any number of items, in memory for `capacity` of them: every item that makes up more than
 * 1 / (capacity + 1) of all is among the {@link candidates}. Their exact counts need a second pass.
 *
 * Source: Misra and Gries, "Finding repeated elements" (Sci. Comput. Program. 2, 1982).
 */
export class FrequentItems {
  readonly #capacity: number;
  readonly #counts = new Map<number, number>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(item: number): void {
    const count = this.#counts.get(item);
    if (count !== undefined) this.#counts.set(item, count + 1);
    else if (this.#counts.size < this.#capacity) this.#counts.set(item, 1);
    // Each sweep takes off `capacity` earlier additions, so that an addition costs little on average.
    else
      for (const [held, n] of this.#counts)
        if (n === 1) this.#counts.delete(held);
        else this.#counts.set(held, n - 1);
  }

  candidates(): number[] {
    return [...this.#counts.keys()];
  }
}
