import type { LayerChunk } from "../scan/layer-chunks.ts";
import type { Grouping, SampleRows } from "../statistics/randomization/rotations.ts";
import type { RowGroups } from "./row-groups.ts";
import type { SampleSpan } from "./sample-spans.ts";

/** Keeps the chosen experts of the rows that the rotation tests look at. */
export class TestedRows {
  readonly #spans: readonly SampleSpan[];
  readonly #offsets: Uint32Array;
  #ids = new Uint16Array(0);
  #topK = 0;
  /** First span that may still get rows. */
  #next = 0;

  /** @param spans in order of their rows. */
  constructor(spans: readonly SampleSpan[]) {
    this.#spans = spans;
    this.#offsets = new Uint32Array(spans.length + 1);
    spans.forEach(({ from, to }, i) => {
      this.#offsets[i + 1] = this.#offsets[i]! + to - from;
    });
  }

  get rows(): number {
    return this.#offsets.at(-1)!;
  }

  /** Chunks come in order. */
  add({ from, rows, ids, topK }: LayerChunk): void {
    if (this.#topK === 0) {
      this.#topK = topK;
      this.#ids = new Uint16Array(this.rows * topK);
    }
    for (let i = this.#next; i < this.#spans.length && this.#spans[i]!.from < from + rows; i++) {
      const span = this.#spans[i]!;
      const begin = Math.max(span.from, from);
      const end = Math.min(span.to, from + rows);
      const place = this.#offsets[i]! + begin - span.from;
      if (begin < end) this.#ids.set(ids.subarray((begin - from) * topK, (end - from) * topK), place * topK);
      if (span.to <= from + rows) this.#next = i + 1;
    }
  }

  /** The rows as the tests take them. */
  get sampleRows(): SampleRows {
    return { offsets: this.#offsets, ids: this.#ids, topK: this.#topK };
  }

  /** Their groups. */
  in({ names, ofRow }: RowGroups): Grouping {
    const group = new Uint8Array(this.rows);
    this.#spans.forEach(({ from, to }, i) => {
      group.set(ofRow.subarray(from, to), this.#offsets[i]!);
    });
    return { group, groups: names.length };
  }
}
