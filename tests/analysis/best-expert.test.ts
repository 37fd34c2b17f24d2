import { expect, test } from "vitest";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import { compareCaptures } from "../../src/analysis/compare/compare-captures.ts";
import { captureOf } from "./synthetic.ts";

/** Rows of two experts in an engine's own order, which is not that of their weights. */
const shape = { experts: 4, topK: 2, labels: [null], lengths: [3], layers: [0, 1] };
const expert_ids = Uint16Array.of(0, 1, 2, 3, 1, 0, 3, 2, 0, 2, 1, 3);
const expert_weights = Float32Array.of(0.2, 0.8, 0.6, 0.4, 0.1, 0.9, 0.3, 0.7, 0.5, 0.5, 0.1, 0.9);
const best = [
  [1, 2, 0],
  [2, 0, 3],
];

test("the best expert is the heaviest, in texts, flows, paths and comparisons", async () => {
  const capture = captureOf({ ...shape, streams: { expert_ids, expert_weights } });
  const { texts, paths } = await analyzeCapture(capture);
  expect(texts[0]!.best).toEqual(best);
  expect(paths[0]!.top.map(({ experts }) => experts).sort()).toEqual([
    [0, 3],
    [1, 2],
    [2, 0],
  ]);
  const turned = captureOf({
    ...shape,
    streams: {
      expert_ids: expert_ids.map((_, i) => expert_ids[i ^ 1]!),
      expert_weights: expert_weights.map((_, i) => expert_weights[i ^ 1]!),
    },
  });
  // Of the row whose two weights are alike the first is the best, on either side.
  for (const { exact, top1 } of compareCaptures(capture, turned).layers.values())
    expect([exact, Math.round(3 * top1)]).toEqual([1, expect.toBeOneOf([2, 3])]);
});

test("without weights the greatest logit tells it, and with neither the engine's order", async () => {
  const router_logits = new Float32Array(24);
  best.flat().forEach((expert, row) => {
    router_logits[row * 4 + expert] = 5;
  });
  const withLogits = captureOf({ ...shape, streams: { expert_ids, router_logits } });
  expect((await analyzeCapture(withLogits)).texts[0]!.best).toEqual(best);
  const bare = captureOf({ ...shape, streams: { expert_ids } });
  expect((await analyzeCapture(bare)).texts[0]!.best).toEqual([
    [0, 2, 1],
    [3, 0, 1],
  ]);
});
