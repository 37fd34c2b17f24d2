import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, inject, it } from "vitest";
import { pruneCandidates } from "../../src/advice/prune-candidates.ts";
import { expertUsage } from "../../src/analysis/expert-usage.ts";
import type { Capture } from "../../src/capture/capture.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import { drive, type SyntheticOptions, syntheticRun } from "../store/synthetic.ts";

const synthetic = (options: SyntheticOptions): Promise<Capture> =>
  drive(syntheticRun(options), new MemorySink());

describe("pruneCandidates", () => {
  it("has the weight shares and intervals that numpy and scipy compute", async () => {
    // More experts than choices: some are never used.
    const capture = await synthetic({ experts: 40, lengths: [5, 3, 8, 6] });
    const { experts, evenShare, weighted } = pruneCandidates(capture);
    expect(weighted).toBe(true);
    expect(evenShare).toBe(1 / 40);
    expect(experts).toHaveLength(2 * 40);
    expect(experts.some(({ count }) => count === 0)).toBe(true);
    for (const layer of [1, 3]) {
      const pairs = (data: ArrayLike<number>) =>
        Array.from({ length: capture.rows.length }, (_, row) => [data[2 * row], data[2 * row + 1]]);
      const input = {
        experts: 40,
        ids: pairs(capture.expertIds.get(layer)!.data),
        weights: pairs(capture.expertWeights.get(layer)!.data),
        sample: [...capture.rows.sample],
      };
      const reference = JSON.parse(
        execFileSync(inject("python"), [join(import.meta.dirname, "intervals.py")], {
          input: JSON.stringify(input),
        }).toString(),
      );
      const own = experts.filter((found) => found.layer === layer).sort((a, b) => a.expert - b.expert);
      own.forEach(({ weightShare, weightInterval: [low, high] }, expert) => {
        expect(weightShare).toBeCloseTo(reference.share[expert], 10);
        expect(low).toBeCloseTo(reference.low[expert], 10);
        expect(high).toBeCloseTo(reference.high[expert], 10);
      });
    }
  });

  it("adds up to the usage, by label as well, those that carry least first", async () => {
    const capture = await synthetic({ experts: 8, lengths: [5, 3, 8] });
    const usage = expertUsage(capture);
    const { experts } = pruneCandidates(capture);
    for (const { layer, expert, count, weightShare, byLabel, mostNeededBy } of experts) {
      const { counts, weights, byLabel: labels } = usage.layers.get(layer)!;
      const share = (of: Float64Array) => of[expert]! / of.reduce((sum, weight) => sum + weight, 0);
      expect(count).toBe(counts[expert]);
      expect(weightShare).toBeCloseTo(share(weights!), 10);
      expect(byLabel.map(({ label }) => label)).toEqual([...labels.keys()]);
      for (const { label, weightShare } of byLabel)
        expect(weightShare).toBeCloseTo(share(labels.get(label)!.weights!), 10);
      expect(mostNeededBy.weightShare).toBeCloseTo(
        Math.max(...byLabel.map(({ weightShare }) => weightShare)),
        12,
      );
    }
    const order = experts.map(({ weightShare }) => weightShare);
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  it("counts choices alike without weights, and says so", async () => {
    const capture = await synthetic({ experts: 8, streams: ["expert_ids"] });
    const { experts, weighted, rows } = pruneCandidates(capture);
    expect(weighted).toBe(false);
    for (const { count, weightShare } of experts) expect(weightShare).toBeCloseTo(count / (2 * rows), 12);
  });

  it("refuses a capture without rows", async () => {
    await expect(synthetic({ lengths: [0] }).then(pruneCandidates)).rejects.toThrow(/no rows/);
  });
});
