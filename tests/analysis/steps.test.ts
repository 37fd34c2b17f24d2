import { expect, test } from "vitest";
import { compareCaptures } from "../../src/analysis/compare/compare-captures.ts";
import { comparisonOf } from "../../src/views/facts/comparison.ts";
import { keptComparison, keptLabelComparison } from "../../src/views/facts/kept-comparisons.ts";
import { captureOf } from "./synthetic.ts";

const LAYERS = [0, 1, 2, 3];
const capture = captureOf({
  experts: 4,
  topK: 1,
  labels: ["a", "b", "a", "b"],
  lengths: [4, 4, 4, 4],
  layers: LAYERS,
  streams: { expert_ids: Uint16Array.from({ length: 64 }, (_, i) => (i * 7 + (i >> 3)) % 4) },
});

const comparisons = {
  "two captures": (steps: object) => keptComparison(capture, capture, true, { permutations: 9, ...steps }),
  "two labels": (steps: object) => keptLabelComparison(capture, ["a", "b"], { permutations: 9, ...steps }),
};

test.each(Object.entries(comparisons))("%s are compared a layer a step", async (_, compare) => {
  const seen: number[] = [];
  await compare({ onProgress: ({ done }: { done: number }) => seen.push(done) });
  expect(seen).toEqual([1, 2, 3, 4]);
});

test.each(Object.entries(comparisons))(
  "an abort ends the comparison of %s before the next layer",
  async (_, compare) => {
    const abort = new AbortController();
    const seen: number[] = [];
    const compared = compare({
      signal: abort.signal,
      onProgress({ done }: { done: number }) {
        seen.push(done);
        if (done === 2) abort.abort(new Error("enough"));
      },
    });
    await expect(compared).rejects.toThrow("enough");
    expect(seen).toEqual([1, 2]);
  },
);

test("step by step gives what all at once does", async () => {
  const { facts } = await comparisons["two captures"]({});
  const found = compareCaptures(capture, capture, { permutations: 9 });
  expect(facts).toEqual(comparisonOf(capture, capture, found, { tokens: true }));
});
