import type { Finished } from "../../core/request.ts";
import type { RowLabels } from "../../core/rows.ts";
import type { SampleInfo } from "../../core/sink.ts";
import type { Manifest } from "./manifest.ts";

/**
 * Keeps account of how far each sample got: into the sink and onto the disk, as the position after its last row. Two
 * numbers a sample.
 */
export class SampleProgress {
  readonly #seen: Int32Array;
  readonly #stored: Int32Array;

  constructor(samples: readonly SampleInfo[]) {
    this.#seen = new Int32Array(samples.length);
    this.#stored = new Int32Array(samples.length);
  }

  /** Rows came in. */
  see(rows: Pick<RowLabels, "sample" | "position">): void {
    advance(this.#seen, rows);
  }

  /** Rows are in a finished shard. */
  store(rows: Pick<RowLabels, "sample" | "position">): void {
    advance(this.#stored, rows);
  }

  /**
   * What a run that did not come to its end lacks: the rest of each sample that was not finished, as far as it may
   * go, and of the others the rows that came and could not be written.
   */
  missing(finished: readonly Finished[], why: string): Manifest["missing"] {
    const ended = new Set(finished.map(({ sample }) => sample));
    const list: Manifest["missing"] = [];
    this.#stored.forEach((from, sample) => {
      if (!ended.has(sample)) list.push({ sample, from, to: null, why });
      else if (from < this.#seen[sample]!) list.push({ sample, from, to: this.#seen[sample]!, why });
    });
    return list;
  }
}

function advance(ends: Int32Array, { sample, position }: Pick<RowLabels, "sample" | "position">): void {
  for (let row = 0; row < sample.length; row++) {
    const index = sample[row]!;
    ends[index] = Math.max(ends[index]!, position[row]! + 1);
  }
}
