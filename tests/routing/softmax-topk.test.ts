import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import type { Tensor } from "../../src/core/tensor.ts";
import { softmax } from "../../src/gating/softmax.ts";
import { topk } from "../../src/gating/topk.ts";
import { error, flat, float32, reference } from "../analysis/reference.ts";

describe("softmax", () => {
  test("is torch's, with ties, infinities, NaN and large values", () => {
    const { input, output } = reference.softmax;
    const result = softmax(float32(input));
    expect(result.dims).toEqual([input.length, 4]);
    expect(error(result.data, flat(output))).toBeLessThan(1e-6);
  });

  test("works over the last axis of any shape", () => {
    const input: Tensor<"float32"> = { type: "float32", dims: [2, 1, 2], data: Float32Array.of(0, 0, 5, 5) };
    expect(softmax(input)).toEqual({ ...input, data: Float32Array.of(0.5, 0.5, 0.5, 0.5) });
  });
});

describe("topk", () => {
  const { input, cases } = reference.topk;
  test.each(cases)("k = $k is torch's, ties by the lower index", ({ k, values, indices }) => {
    const result = topk(float32(input), k);
    expect(result.values.dims).toEqual([input.length, k]);
    expect(Array.from(result.indices.data)).toEqual(flat(indices));
    expect(Array.from(result.values.data)).toEqual(flat(values));
  });

  const random = seededRandom(3);
  const uniform = () => 4 * random() - 2;
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  test.each<[string, (i: number) => number]>([
    ["normal", normal],
    ["uniform", uniform],
    ["one stands out far", (i) => (i % 97 === 5 ? 1e6 : uniform())],
    ["few different ones", () => Math.round(uniform())],
    ["all the same", () => 0.1],
    ["huge", () => normal() * 1e38],
    ["with NaN", (i) => (i % 50 === 49 ? Number.NaN : normal())],
    ["masked", (i) => (i % 3 === 0 ? -Infinity : normal())],
    ["with Infinity", (i) => (i % 71 === 0 ? Infinity : normal())],
    ["rising", (i) => i],
  ])("of wide rows is that of a stable sort: %s", (_, value) => {
    for (const [width, k] of [
      [64, 4],
      [127, 8],
      [128, 8],
      [129, 6],
      [128, 100],
      [512, 10],
      [512, 128],
    ] as const) {
      const rows = 20;
      const data = Float32Array.from({ length: rows * width }, (_, i) => value(i));
      const { indices } = topk({ type: "float32", dims: [rows, width], data }, k);
      for (let row = 0; row < rows; row++) {
        const one = data.subarray(row * width, (row + 1) * width);
        // NaN is the greatest; sort is stable.
        const rank = (i: number) => (Number.isNaN(one[i]) ? 2 : one[i]! === Infinity ? 1 : 0);
        const order = Array.from(one, (_, i) => i).sort(
          (a, b) => rank(b) - rank(a) || (rank(a) > 0 || one[a] === one[b] ? 0 : one[b]! - one[a]!),
        );
        expect(Array.from(indices.data.subarray(row * k, (row + 1) * k))).toEqual(order.slice(0, k));
      }
    }
  });

  test("keeps the element type", () => {
    const { values } = topk({ type: "uint16", dims: [3], data: Uint16Array.of(7, 9, 8) }, 2);
    expect(values).toEqual({ type: "uint16", dims: [2], data: Uint16Array.of(9, 8) });
  });

  test.each([0, 6, 1.5, Number.NaN])("refuses k = %s of 5", (k) => {
    expect(() => topk(float32(input), k)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });
});
