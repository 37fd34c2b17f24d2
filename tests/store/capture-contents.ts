import { expect } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";

/** Rows of a capture by sample and position, each with its labels. */
function labelledRows({ rows }: Capture): Map<string, string> {
  const { phase, text, label } = rows;
  return new Map(
    Array.from(rows.sample, (sample, row) => [
      `${sample}:${rows.position[row]}`,
      JSON.stringify([rows.tokenId[row], phase[row], text[row], label[row]]),
    ]),
  );
}

/**
 * That every row of `part` is a row of `whole`, with its labels and, within `tolerance`, its values: rounding depends
 * on what shared a batch. Chosen experts are compared as they are.
 */
export function expectSameRows(part: Capture, whole: Capture, tolerance: number): void {
  const wanted = labelledRows(whole);
  const place = new Map([...wanted.keys()].map((key, row) => [key, row]));
  const found = labelledRows(part);
  expect(found.size).toBe(part.rows.length);
  // One comparison in the end: an expect a row takes longer than the run.
  expect([...found].filter(([key, labels]) => wanted.get(key) !== labels)).toEqual([]);
  for (const name of whole.streams) {
    expect([...part.stream(name).keys()]).toEqual([...whole.stream(name).keys()]);
    for (const [layer, { data, dims, type }] of part.stream(name)) {
      const width = dims[1]!;
      const all = whole.stream(name).get(layer)!.data;
      let worst = 0;
      [...found.keys()].forEach((key, row) => {
        const from = place.get(key)! * width;
        for (let i = 0; i < width; i++)
          worst = Math.max(worst, Math.abs(data[row * width + i]! - all[from + i]!));
      });
      expect(worst).toBeLessThanOrEqual(type === "float32" ? tolerance : 0);
    }
  }
}
