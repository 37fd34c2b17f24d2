import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { pruneCandidates } from "../../src/advice/prune-candidates.ts";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import { coactivation } from "../../src/analysis/coactivation.ts";
import { compareCaptures } from "../../src/analysis/compare/compare-captures.ts";
import { expertUsage } from "../../src/analysis/expert-usage.ts";
import { coactivationReducer } from "../../src/analysis/reducers/coactivation.ts";
import { entropyReducer } from "../../src/analysis/reducers/entropy.ts";
import { usageReducer } from "../../src/analysis/reducers/usage.ts";
import { routingEntropy, routingMargin } from "../../src/analysis/row-means.ts";
import { layersWithChoice } from "../../src/analysis/rows/chosen.ts";
import { specialization } from "../../src/analysis/specialization.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { inspectView } from "../../src/cli/commands/inspect.ts";
import type { Gating } from "../../src/core/gating.ts";
import { moeInfo } from "../../src/core/moe-layer.ts";
import { routedExperts } from "../../src/export/routed-experts.ts";
import { tokenEvents, watchedLayers } from "../../src/server/jobs/token-events.ts";
import { captureFactsOf } from "../../src/views/facts/capture.ts";
import { capturePath } from "../store/folder.ts";
import { flat, float32, reference } from "./reference.ts";
import { captureOf, folderOf, runOf, SOFTMAX } from "./synthetic.ts";

const ref = reference.capture;
const logits = float32(ref.logits);
const ids = Uint16Array.from(flat(ref.ids));
const shape = { experts: ref.experts, topK: ref.topK, labels: ref.labels, lengths: ref.lengths };
const onlyLogits = { ...shape, gating: null, streams: { router_logits: logits.data } };

describe("logits of a model whose rule is not known", () => {
  const capture = captureOf(onlyLogits);

  test.each<[string, () => unknown]>([
    ["usage", () => expertUsage(capture)],
    ["co-activation", () => coactivation(capture)],
    ["margin", () => routingMargin(capture)],
    ["specialization", () => specialization(capture)],
    ["pruning", () => pruneCandidates(capture)],
    ["comparison", () => compareCaptures(capture, capture)],
    ["export of routed experts", () => routedExperts(capture)],
  ])("do not tell the experts: %s is refused", (_, ask) => {
    expect(ask).toThrow(
      "router logits do not tell the experts of layer 0: how qwen3moe chooses them is not known; capture expert_ids as well",
    );
  });

  test("nor is there an analysis; what needs no choice is told", async () => {
    await expect(analyzeCapture(capture)).rejects.toThrow("capture expert_ids");
    expect(routingEntropy(capture).get(0)).toBeGreaterThan(0);
    expect(layersWithChoice(capture)).toEqual([]);
    expect(captureFactsOf(capture, { samples: false }).usage).toBe(null);
  });

  test("a reducer refuses before the run", () => {
    const { header } = runOf(onlyLogits);
    for (const reducer of [usageReducer(), coactivationReducer()])
      expect(() => reducer.open(header)).toThrow("do not tell the experts of layer 0");
    expect(() => entropyReducer().open(header)).not.toThrow();
  });

  test("a job's live tokens leave the layer out, and do not end the job", () => {
    const { header, batches } = runOf(onlyLogits);
    expect(watchedLayers(header)).toEqual([]);
    expect([...tokenEvents(header, batches[0]!)].flat()[0]!.experts).toEqual([]);
  });

  test("with the captured experts all is told", async () => {
    const whole = captureOf({ ...onlyLogits, streams: { router_logits: logits.data, expert_ids: ids } });
    expect([...expertUsage(whole).layers.get(0)!.counts]).toEqual(ref.counts);
    expect((await analyzeCapture(whole, { permutations: 9 })).layers[0]!.margin).not.toBe(null);
  });

  test("the same for a learned bias and for a table by token", () => {
    for (const [gating, why] of [
      [{ ...SOFTMAX, selectionBias: true }, "a learned bias takes part"],
      [{ ...SOFTMAX, chosenBy: "token_id" }, "they are looked up by token"],
    ] as [Gating, string][]) {
      expect(() => expertUsage(captureOf({ ...onlyLogits, gating }))).toThrow(why);
      expect(() => usageReducer().open(runOf({ ...onlyLogits, gating }).header)).toThrow(why);
      expect(watchedLayers(runOf({ ...onlyLogits, gating }).header)).toEqual([]);
    }
  });
});

describe("a manifest", () => {
  const rewritten = async (change: (manifest: Manifest) => void) => {
    const folder = join(await mkdtemp(join(await capturePath(), "..", "old-")), "run");
    await folderOf({ ...onlyLogits, gating: SOFTMAX }, folder);
    const path = join(folder, "manifest.json");
    const manifest = JSON.parse(await readFile(path, "utf8"));
    change(manifest);
    await writeFile(path, JSON.stringify(manifest));
    return openCapture(folder);
  };
  interface Manifest {
    engine: { name: string };
    model: { architecture: string; moe: Record<string, unknown> };
  }
  /** As versions before `chosenBy` wrote it. */
  const EARLIER = { score: "softmax", normalize: false, scale: 2.5, selectionBias: false, groups: null };

  test("keeps a rule that is not known, and layers that differ", async () => {
    const unknown = await rewritten(({ model }) => {
      model.moe.gating = null;
    });
    expect(unknown.model.moe!.gating).toBe(null);
    const byLayer = [{ experts: 8, topK: 2, gating: { ...SOFTMAX, chosenBy: "token_id" } }];
    const differing = await rewritten(({ model }) => {
      Object.assign(model.moe, { gating: null, byLayer });
    });
    expect(differing.model.moe!.byLayer).toEqual(byLayer);
  });

  test.each<[string, Gating | null]>([
    // What the code fixes is corrected, what the loader reads from the file is kept.
    ["mistral3", { ...SOFTMAX, normalize: true }],
    ["nemotron_h_moe", { ...SOFTMAX, score: "sigmoid", normalize: false, scale: 2.5 }],
    ["llama4", { ...SOFTMAX, score: "sigmoid", normalize: false, chosenBy: "logits", weighted: "inputs" }],
    ["bailingmoe", { ...SOFTMAX, normalize: false, scale: 2.5 }],
    // What was a default is not known.
    ["deepseek4", null],
    ["dflash", null],
    ["Qwen3MoeForCausalLM", null],
  ])("of an earlier version opens, for %s with the rule that holds", async (architecture, gating) => {
    const capture = await rewritten(({ model }) => {
      model.architecture = architecture;
      model.moe.gating = EARLIER;
    });
    expect(capture.model.moe!.gating).toEqual(gating);
  });

  test("of another engine is not corrected by llama.cpp's rules, whose names some are", async () => {
    const { model } = await rewritten((manifest) => {
      manifest.engine.name = "vllm";
      manifest.model.architecture = "olmoe";
      manifest.model.moe.gating = EARLIER;
    });
    expect(model.moe!.gating).toBe(null);
  });

  test.each([
    ["llama.cpp", { ...SOFTMAX, groups: { count: 4, used: 2, best: 2 } }],
    // Groups are judged by one expert there, or by two.
    ["vllm", null],
  ])("of %s that does not say what groups are judged by", async (engine, gating) => {
    const { model } = await rewritten((manifest) => {
      manifest.engine.name = engine;
      manifest.model.moe.gating = { ...SOFTMAX, groups: { count: 4, used: 2 } };
    });
    expect(model.moe!.gating).toEqual(gating);
  });

  test("with a rule of another shape is refused", async () => {
    await expect(
      rewritten(({ model }) => {
        model.moe.gating = { ...SOFTMAX, chosenBy: "chance" };
      }),
    ).rejects.toThrow(expect.objectContaining({ code: "CAPTURE_INVALID" }));
  });
});

describe("a model whose layers differ", () => {
  const layers = [0, 2, 5];
  const each = [
    { experts: 8, topK: 2, gating: SOFTMAX },
    { experts: 8, topK: 4, gating: SOFTMAX },
    { experts: 8, topK: 2, gating: null },
  ];

  test("is described by layer, and as a whole by the most", () => {
    const moe = moeInfo(layers, each, 0);
    expect(moe).toEqual({ layers, experts: 8, topK: 4, sharedExperts: 0, gating: null, byLayer: each });
    expect(moeInfo(layers, [each[0]!, each[0]!, each[0]!], 1)).toEqual({
      ...{ layers, experts: 8, topK: 2, sharedExperts: 1, gating: SOFTMAX },
    });
  });

  test("is told apart by inspect", () => {
    const { model } = captureOf(onlyLogits);
    const view = inspectView(
      { ...model, layers: 6, moe: moeInfo(layers, each, 0) },
      { width: 90, depth: "none" },
    );
    expect(view.filter((line) => /^ {2}(experts|shared experts|gating) /.test(line))).toEqual([
      "  experts         layers 0: 8 routed, 2 used per token (fair share 25 %)",
      "  shared experts  none",
      "  gating          softmax, weights normalised",
      "  experts         layers 2: 8 routed, 4 used per token (fair share 50 %)",
      "  gating          softmax, weights normalised",
      "  experts         layers 5: 8 routed, 2 used per token (fair share 25 %)",
      "  gating          not known",
    ]);
  });

  test("is not exported in a layout that has one number of experts", () => {
    const moe = moeInfo([0, 1], [each[0]!, each[1]!], 0);
    const capture = captureOf({
      ...shape,
      layers: [0, 1],
      streams: { expert_ids: new Uint16Array([...ids, ...ids]) },
    });
    Object.assign(capture.model, { moe });
    expect(() => routedExperts(capture)).toThrow("layer 0 of synthetic uses 2 experts, others 4");
  });
});
