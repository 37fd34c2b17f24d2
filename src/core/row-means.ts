import { takeRowsOf } from "./row-batch.ts";
import type { RowBatch } from "./rows.ts";
import type { StreamName } from "./streams.ts";

/** The position and token id of a row that is the mean of others: it is no token's own. */
export const NO_TOKEN = -1;
/** How that is shown where other rows show their token. */
export const MEAN_TEXT = "<mean>";

type Sums = Map<StreamName, Map<number, Float64Array>>;

/** What is kept of a sample that runs. */
interface Sample {
  rows: number;
  /** Of its newest row. */
  phase: number;
  readonly sums: Sums;
  /** Its newest rows, oldest first, each a batch of one; where only the last n count. */
  readonly newest: RowBatch[];
}

/**
 * Makes one row of all rows of a sample: their mean, value by value, summed in double precision. What it holds is a row of
 * sums for each sample that runs, however long that is; or its last n rows, where `last` says so.
 */
export class RowMeans {
  readonly #lastOf: (sample: number) => number | null;
  readonly #samples = new Map<number, Sample>();

  constructor(lastOf: (sample: number) => number | null) {
    this.#lastOf = lastOf;
  }

  add(batch: RowBatch): void {
    for (let row = 0; row < batch.rows; row++) {
      const index = batch.sample[row]!;
      const sample: Sample = this.#samples.get(index) ?? { rows: 0, phase: 0, sums: new Map(), newest: [] };
      this.#samples.set(index, sample);
      const last = this.#lastOf(index);
      if (last === null) addRow(sample, batch, row);
      else {
        sample.newest.push(takeRowsOf(batch, [row]));
        if (sample.newest.length > last) sample.newest.shift();
      }
    }
  }

  /** The rows of samples that have ended, in their order; `null`: nothing of them was selected. */
  end(samples: readonly number[]): RowBatch | null {
    const ended = samples.flatMap((index) => {
      const sample = this.#samples.get(index);
      this.#samples.delete(index);
      if (!sample) return [];
      for (const row of sample.newest) addRow(sample, row, 0);
      return [{ index, sample }];
    });
    const first = ended[0];
    if (!first) return null;
    const rows = ended.length;
    const streams = [...first.sample.sums].map(([name, layers]) => {
      const means = [...layers].map(([layer, { length: width }]) => {
        const data = new Float32Array(rows * width);
        ended.forEach(({ sample }, row) => {
          sample.sums
            .get(name)!
            .get(layer)!
            .forEach((sum, i) => {
              data[row * width + i] = sum / sample.rows;
            });
        });
        return [layer, data] as const;
      });
      return [name, new Map(means)] as const;
    });
    return {
      rows,
      sample: Int32Array.from(ended, ({ index }) => index),
      position: new Int32Array(rows).fill(NO_TOKEN),
      tokenId: new Int32Array(rows).fill(NO_TOKEN),
      phase: Uint8Array.from(ended, ({ sample }) => sample.phase),
      streams: new Map(streams),
    };
  }
}

function addRow(sample: Sample, batch: RowBatch, row: number): void {
  sample.rows++;
  sample.phase = batch.phase[row]!;
  for (const [name, layers] of batch.streams) {
    const sums = sample.sums.get(name) ?? new Map<number, Float64Array>();
    sample.sums.set(name, sums);
    for (const [layer, data] of layers) {
      const width = data.length / batch.rows;
      const sum = sums.get(layer) ?? new Float64Array(width);
      sums.set(layer, sum);
      for (let i = 0, from = row * width; i < width; i++) sum[i]! += data[from + i]!;
    }
  }
}
