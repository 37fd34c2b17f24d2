/** Units by their label, as it is when {@link LabelOrder.sort} is called; a permutation leaves each label as many. */
export class LabelOrder {
  readonly units: Uint32Array;
  /** Where each label's units begin; one more than there are labels. */
  readonly starts: Uint32Array;
  readonly #label: Int32Array;
  readonly #next: Uint32Array;

  /** @param label of each unit, read at every sort. */
  constructor(label: Int32Array, labels: number) {
    this.#label = label;
    this.units = new Uint32Array(label.length);
    this.starts = new Uint32Array(labels + 1);
    for (const of of label) this.starts[of + 1]!++;
    for (let l = 0; l < labels; l++) this.starts[l + 1]! += this.starts[l]!;
    this.#next = new Uint32Array(labels);
  }

  sort(): void {
    this.#next.set(this.starts.subarray(0, -1));
    for (let unit = 0; unit < this.#label.length; unit++)
      this.units[this.#next[this.#label[unit]!]!++] = unit;
  }
}
