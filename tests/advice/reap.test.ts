import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, inject, it } from "vitest";
import { pruneCandidates } from "../../src/advice/prune-candidates.ts";
import type { ReapScore } from "../../src/advice/reap.ts";
import type { Capture } from "../../src/capture/capture.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import type { Gating } from "../../src/core/gating.ts";
import { packageRoot } from "../../src/core/package-root.ts";
import { load } from "../../src/run/load.ts";
import { pruneFactsOf } from "../../src/views/facts/prune-candidates.ts";
import { pruneView } from "../../src/views/terminal/prune-candidates.ts";
import { SOFTMAX } from "../analysis/synthetic.ts";
import { capturePath } from "../store/folder.ts";
import { drive, syntheticRun } from "../store/synthetic.ts";

const MODEL = join(packageRoot, "models", "demo", "demo-moe.gguf");
const STREAMS = ["expert_ids", "expert_weights", "expert_outputs"] as const;
const PROMPTS = [
  { prompt: "def area(radius):\n    return 3.14 * radius ** 2\n", label: "python" },
  { prompt: "The weather was fine, and so they went to the sea.", label: "english" },
  { prompt: "Le chat dort sur la chaise de la cuisine.", label: "french" },
  { prompt: "12 + 30 = 42, 7 * 8 = 56", label: "math" },
];

const view = (capture: Capture, width = 80) =>
  pruneView(pruneFactsOf(capture, pruneCandidates(capture)), 6, { width, depth: "none" });

describe("REAP scores", () => {
  it("are what numpy computes from the demo model's folder", async () => {
    const folder = await capturePath();
    await using llm = await load(MODEL, { threads: 1 });
    const capture = await llm.capture(PROMPTS, { streams: STREAMS, into: folder });
    const reference: Record<number, (ReapScore & { interval: number[] | null })[]> = JSON.parse(
      execFileSync(inject("python"), [join(import.meta.dirname, "reap.py"), folder]).toString(),
    );
    const { experts, score } = pruneCandidates(capture);
    expect(score).toBe("reap");
    expect(experts).toHaveLength(6 * 16);
    for (const { layer, expert, count, reap } of experts) {
      const expected = reference[layer]![expert]!;
      expect(reap!.score).toBeCloseTo(expected.score, 6);
      expect(reap!.relative).toBeCloseTo(expected.relative, 6);
      expect(reap!.score > 0).toBe(count > 0);
      expect(reap!.interval === null).toBe(expected.interval === null);
      reap!.interval?.forEach((end, i) => {
        expect(end).toBeCloseTo(expected.interval![i]!, 6);
      });
    }
    expect(experts.some(({ reap }) => reap!.interval !== null)).toBe(true);
    const order = experts.map(({ reap }) => reap!.relative);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    const lines = view(capture);
    expect(lines.join("\n")).toContain("by REAP score (mean: 1)");
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(80);
  });

  it("do not take the weight twice where it is in the expert's input", async () => {
    const run = syntheticRun({ streams: STREAMS, lengths: [5, 4, 6] });
    const { model } = run.header;
    const withGating = (gating: Gating | null) => ({
      ...run,
      header: { ...run.header, model: { ...model, moe: { ...model.moe!, gating } } },
    });
    const llama4 = withGating({ ...SOFTMAX, weighted: "inputs" });
    const { experts } = pruneCandidates(await drive(llama4, new MemorySink()));
    // Which of the two it is has to be known.
    const unknown = pruneCandidates(await drive(withGating(null), new MemorySink()));
    expect(unknown.score).toBe("weightShare");
    expect(unknown.experts.every(({ reap }) => reap === null)).toBe(true);
    const capture = await drive(run, new MemorySink());
    const norms = new Float64Array(8);
    const counts = new Float64Array(8);
    capture.expertIds.get(1)!.data.forEach((expert, i) => {
      norms[expert]! += Math.hypot(...capture.expertOutputs.get(1)!.data.subarray(6 * i, 6 * (i + 1)));
      counts[expert]!++;
    });
    for (const { layer, expert, reap } of experts)
      if (layer === 1 && counts[expert]! > 0)
        expect(reap!.score).toBeCloseTo(norms[expert]! / counts[expert]!, 5);
  });

  it("rank only where every layer has outputs and weights; else the text says how to get them", async () => {
    const without = await drive(syntheticRun(), new MemorySink());
    expect(pruneCandidates(without).score).toBe("weightShare");
    expect(pruneCandidates(without).experts.every(({ reap }) => reap === null)).toBe(true);
    expect(view(without).join(" ")).toContain("expert_outputs to rank by its score");
    const unweighted = await drive(
      syntheticRun({ streams: ["expert_ids", "expert_outputs"] }),
      new MemorySink(),
    );
    expect(pruneCandidates(unweighted).score).toBe("weightShare");
  });
});
