import type { RowLabels } from "../../core/rows.ts";

/**
 * How the rows of a folder, which are in the order they were computed in, are read by sample and position: an engine
 * that runs several samples at a time interleaves them.
 */
export interface StoredOrder {
  /** Sorted row -> stored row. */
  readonly stored: Uint32Array;
  /** Stored row -> sorted row. */
  readonly sorted: Uint32Array;
}

/**
 * The order that sorts the rows, or `null` when they are sorted as they are.
 *
 * @param samples how many samples there are; every value of `sample` is below.
 */
export function storedOrder({ sample, position }: RowLabels, samples: number): StoredOrder | null {
  if (isSorted(sample, position)) return null;
  const stored = bySample(sample, samples);
  // An engine brings each sample's rows by position; a folder that somebody else wrote may not.
  const inOrder = stored.every((row, place) => {
    const before = stored[place - 1];
    return before === undefined || sample[before] !== sample[row] || position[before]! <= position[row]!;
  });
  if (!inOrder) stored.sort((a, b) => sample[a]! - sample[b]! || position[a]! - position[b]!);
  const sorted = new Uint32Array(stored.length);
  stored.forEach((row, place) => {
    sorted[row] = place;
  });
  return { stored, sorted };
}

function isSorted(sample: Int32Array, position: Int32Array): boolean {
  for (let row = 1; row < sample.length; row++)
    if (
      sample[row - 1]! > sample[row]! ||
      (sample[row - 1] === sample[row] && position[row - 1]! > position[row]!)
    )
      return false;
  return true;
}

/** Rows by sample, those of one sample as they are stored: a counting sort, as there are millions of rows. */
function bySample(sample: Int32Array, samples: number): Uint32Array {
  const next = new Uint32Array(samples + 1);
  for (const index of sample) next[index + 1]!++;
  for (let index = 0; index < samples; index++) next[index + 1]! += next[index]!;
  const rows = new Uint32Array(sample.length);
  for (let row = 0; row < sample.length; row++) rows[next[sample[row]!]!++] = row;
  return rows;
}

/** A column's values in sorted order. */
export function inOrder<A extends Int32Array | Uint8Array>(column: A, order: StoredOrder | null): A {
  if (!order) return column;
  return column.map((_, place) => column[order.stored[place]!]!) as A;
}
