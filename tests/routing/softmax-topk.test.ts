import { describe, expect, test } from "vitest";
import type { Tensor } from "../../src/capture/tensor.ts";
import { softmax } from "../../src/routing/softmax.ts";
import { topk } from "../../src/routing/topk.ts";
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

  test("keeps the element type", () => {
    const { values } = topk({ type: "uint16", dims: [3], data: Uint16Array.of(7, 9, 8) }, 2);
    expect(values).toEqual({ type: "uint16", dims: [2], data: Uint16Array.of(9, 8) });
  });

  test.each([0, 6, 1.5, Number.NaN])("refuses k = %s of 5", (k) => {
    expect(() => topk(float32(input), k)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });
});
