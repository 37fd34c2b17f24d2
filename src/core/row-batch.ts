import type { RowBatch } from "./rows.ts";

/** Some rows of a batch, in the order given, with memory of their own, so that the rest of the batch can be freed. */
export function takeRowsOf(batch: RowBatch, rows: readonly number[]): RowBatch {
  const streams = new Map(
    [...batch.streams].map(([name, layers]) => [
      name,
      new Map([...layers].map(([layer, data]) => [layer, gather(data, rows, data.length / batch.rows)])),
    ]),
  );
  return {
    rows: rows.length,
    sample: gather(batch.sample, rows, 1),
    position: gather(batch.position, rows, 1),
    tokenId: gather(batch.tokenId, rows, 1),
    phase: gather(batch.phase, rows, 1),
    streams,
  };
}

function gather<T extends Float32Array | Uint16Array | Int32Array | Uint8Array>(
  data: T,
  rows: readonly number[],
  width: number,
): T {
  const out = new (data.constructor as new (length: number) => T)(rows.length * width);
  rows.forEach((row, i) => {
    out.set(data.subarray(row * width, (row + 1) * width), i * width);
  });
  return out;
}
