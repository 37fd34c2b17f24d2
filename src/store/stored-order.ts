import type { RowLabels } from "../capture/rows.ts";

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

/** The order that sorts the rows, or `null` when they are sorted as they are. */
export function storedOrder({ sample, position }: RowLabels): StoredOrder | null {
  let ordered = true;
  for (let row = 1; row < sample.length && ordered; row++)
    ordered =
      sample[row - 1]! < sample[row]! ||
      (sample[row - 1] === sample[row] && position[row - 1]! <= position[row]!);
  if (ordered) return null;
  const stored = Uint32Array.from(sample, (_, row) => row).sort(
    (a, b) => sample[a]! - sample[b]! || position[a]! - position[b]!,
  );
  const sorted = new Uint32Array(stored.length);
  stored.forEach((row, place) => {
    sorted[row] = place;
  });
  return { stored, sorted };
}

/** A column's values in sorted order. */
export function inOrder<A extends Int32Array | Uint8Array>(column: A, order: StoredOrder | null): A {
  if (!order) return column;
  return column.map((_, place) => column[order.stored[place]!]!) as A;
}
