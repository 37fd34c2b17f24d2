import { describe, expect, it, vi } from "vitest";
import type { Gating } from "../../src/core/gating.ts";
import type { MoeInfo } from "../../src/core/model-info.ts";
import { moeLayer } from "../../src/core/moe-layer.ts";
import { planFor } from "../../src/core/plan.ts";
import { modelShape } from "../../src/engines/llama/graph/model-shape.ts";
import { CONTROL } from "../../src/engines/llama/host/protocol.ts";
import { inspectFile } from "../../src/engines/llama/model/gguf.ts";
import { makeAbort } from "../../src/engines/llama/native/abort.ts";
import { findLibrary } from "../../src/engines/llama/native/library.ts";
import { run } from "../../src/engines/llama/run/run.ts";
import { Session } from "../../src/engines/llama/run/session.ts";
import { GateCheck } from "../../src/engines/llama/tap/gate-check.ts";
import { type LayerRoute, type LayerRoutes, withRoutes } from "../../src/engines/llama/tap/layer-routes.ts";
import { Tap } from "../../src/engines/llama/tap/tap.ts";
import { gateFault } from "../../src/gating/gate-fault.ts";
import { route } from "../../src/gating/route.ts";
import { load, selectionBias } from "../../src/run/load.ts";
import { families, ggufOf, maxDifference, Reference } from "../fixtures/families.ts";

const routed = families.filter(({ gating }) => gating !== null);
const options = { kvType: "f32", flashAttention: false, threads: 1, contextSize: 512 } as const;

const pick = ({ count, used }: { count: number; used: number }) => ({ count, used });

/** Every rule that differs in one field from a model's. */
function mutants(gating: Gating, experts: number): [field: string, mutant: Gating][] {
  const others = (["softmax", "softmax_topk", "sigmoid", "sqrt_softplus"] as const).filter(
    (score) => score !== gating.score,
  );
  const groups = gating.groups ? null : { count: experts % 4 === 0 ? 4 : 2, used: 1, best: 2 };
  return [
    ...others.map((score): [string, Gating] => [`score ${score}`, { ...gating, score }]),
    ["normalize", { ...gating, normalize: !gating.normalize }],
    ["scale", { ...gating, scale: gating.scale * 1.01 }],
    ["selectionBias", { ...gating, selectionBias: !gating.selectionBias }],
    ["groups", { ...gating, groups }],
    ["what groups are judged by", { ...gating, groups: gating.groups && { ...gating.groups, best: 1 } }],
    // Says nothing of ids and weights: it is only seen in the graph.
    ["weighted", { ...gating, weighted: gating.weighted === "inputs" ? "outputs" : "inputs" }],
    ...(["scores", "logits", "sigmoid"] as const)
      .filter((by) => by !== gating.chosenBy)
      .map((chosenBy): [string, Gating] => [`chosenBy ${chosenBy}`, { ...gating, chosenBy }]),
  ];
}

describe.each(routed)("$name", ({ name, moeLayers, gating: expected }) => {
  it("computes the rule that its file is described with, and routes by it", async () => {
    const warn = vi.spyOn(process, "emitWarning");
    const described = (await inspectFile(ggufOf(name))).moe!;
    await using llm = await load(ggufOf(name), options);
    expect(llm.info.moe).toEqual(described);
    expect(warn).not.toHaveBeenCalled();
    warn.mockRestore();
    const capture = await llm.capture(new Reference(name).tokens);
    const biases = await selectionBias(ggufOf(name));
    // The file may have layers more, which predict tokens further ahead and are not run.
    const biased = moeLayers.filter((layer) => moeLayer(llm.info.moe!, layer).gating!.selectionBias);
    expect([...biases.keys()].filter((layer) => moeLayers.includes(layer))).toEqual(biased);
    expect(biased.length > 0).toBe(expected!.selectionBias);
    for (const layer of moeLayers) {
      const { experts, topK, gating } = moeLayer(llm.info.moe!, layer);
      expect(gating!.scale).toBeCloseTo(expected!.scaling, 6);
      expect(gating!.groups).toEqual(expected!.groups && { ...pick(expected!.groups), best: 2 });
      const logits = capture.routerLogits.get(layer)!;
      const ids = capture.expertIds.get(layer)!;
      const weights = capture.expertWeights.get(layer)!;
      const bias = biases.get(layer) ?? null;
      const rows = { logits: logits.data, ids: ids.data, weights: weights.data, experts, topK };
      expect(gateFault(rows, gating, bias)).toBe(null);
      // Experts that are looked up by token follow from nothing that is captured.
      if (gating!.chosenBy === "token_id") continue;
      const own = route(logits, gating, topK, bias);
      expect(own.ids).toEqual(ids);
      expect(maxDifference(own.weights.data, weights.data)).toBeLessThan(1e-5);
      for (const [field, mutant] of mutants(gating!, experts)) {
        // A bias of another's size where the model has none.
        const given = mutant.selectionBias
          ? (bias ?? Float32Array.from({ length: experts }, (_, e) => e))
          : null;
        const fault = gateFault(rows, mutant, given);
        if (fault) continue;
        // Another way to write the same: softmax of the chosen is that of all, divided by its sum.
        const same = route(logits, mutant, topK, given);
        expect(same.ids, field).toEqual(ids);
        expect(maxDifference(same.weights.data, weights.data), field).toBeLessThan(1e-5);
      }
    }
  });

  it("is described otherwise by a table with a fault, which is said", async () => {
    const model = await inspectFile(ggufOf(name));
    const moe = model.moe!;
    const routes: LayerRoutes = new Map(
      moe.layers.map((layer): [number, LayerRoute] => [
        layer,
        { ...moeLayer(moe, layer), unknown: null, bias: null },
      ]),
    );
    expect(withRoutes(model, routes)).toEqual({ moe, differences: [] });
    const wrong = (changed: Partial<MoeInfo>) =>
      withRoutes({ ...model, moe: { ...moe, ...changed } }, routes);
    // Where layers differ, the last one's.
    const right = moeLayer(moe, moe.layers.at(-1)!).gating!;
    const isRight = (gating: Gating | null) => JSON.stringify(gating) === JSON.stringify(right);
    const layers = moe.layers.filter((layer) => isRight(moeLayer(moe, layer).gating));
    for (const [, gating] of mutants(right, moe.experts).filter(([, mutant]) => !isRight(mutant))) {
      const { moe: shown, differences } = moe.byLayer
        ? wrong({ byLayer: moe.byLayer.map((of) => (isRight(of.gating) ? { ...of, gating } : of)) })
        : wrong({ gating });
      // What is computed holds.
      expect(shown).toEqual(moe);
      expect(differences).toHaveLength(layers.length);
      expect(differences[0]).toContain(`layer ${layers[0]} of ${model.architecture} is described as`);
    }
    expect(wrong({ topK: moe.topK + 1 }).moe).toEqual(moe);
    // A rule that is not known from the file is no fault: the graph tells it.
    expect(wrong({ gating: null })).toEqual({ moe, differences: [] });
    const unknown = new Map(
      [...routes].map(([layer, of]) => [layer, { ...of, gating: null, unknown: "a tanh" }]),
    );
    const untold = withRoutes(model, unknown);
    expect(untold.moe!.gating).toBe(null);
    expect(untold.differences[0]).toContain("a rule that is not known (a tanh)");
  });
});

describe("the check on the first rows", () => {
  const tokens = new Reference("deepseek_v3").tokens;

  async function open(family: string): Promise<{ session: Session; capture: Capture }> {
    const model = await inspectFile(ggufOf(family));
    const session = Session.open({
      ...{
        files: findLibrary(),
        gpu: false,
        gpuLibraries: [],
        placement: { gpuLayers: null, overrides: [] },
      },
      ...{ path: ggufOf(family), contextSize: 256, parallel: 2, batchSize: 16, threads: 1 },
      ...{ kvType: "f32", flashAttention: false, strategy: "redirect", abort: makeAbort() },
      shape: modelShape(model),
      purpose: {
        ...{ task: "generate", pooling: null, normalize: null, filePooling: null, fileCausal: null },
        ...{ classifier: false, encoder: false },
      },
      control: new SharedArrayBuffer(CONTROL.bytes),
    });
    const context = {
      ...{ session, layers: model.layers, batchSize: 16 },
      ...{ aborted: () => false, newTokens: () => [] },
    };
    const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, stop: [], ignoreEos: true };
    const capture: Capture = (streams, { maxTokens = 0, layers, last } = {}) => {
      const plan = planFor(model, {
        streams,
        ...(layers && { layers }),
        ...(last !== undefined && { select: { last } }),
      });
      let rows = 0;
      for (const { batch } of run(context, [{ tokens, maxTokens, sampling }], plan)) rows += batch?.rows ?? 0;
      return rows;
    };
    return { session, capture };
  }

  type Capture = (
    streams: readonly string[],
    options?: { maxTokens?: number; layers?: readonly number[]; last?: number },
  ) => number;

  /** Have a session check against other rules than its graph's. */
  function mislead(session: Session, change: (route: LayerRoute, layer: number) => LayerRoute): void {
    const routes = new Map([...session.routes].map(([layer, of]) => [layer, change(of, layer)]));
    const wrong = new GateCheck(session.llama, routes, session.streams(), "deepseek2");
    Object.assign(session, { gates: wrong });
  }

  it.each([
    ["router_logits"],
    ["expert_ids"],
    ["expert_weights"],
    ["expert_outputs"],
    ["hidden_states", "expert_ids"],
  ])("finds a wrong rule where only %s %s is asked for, before any row", async (...streams) => {
    const { session, capture } = await open("deepseek_v3");
    try {
      mislead(session, (of, layer) =>
        layer === 2 ? { ...of, gating: { ...of.gating!, score: "softmax" } } : of,
      );
      expect(() => capture(streams)).toThrow(
        expect.objectContaining({
          code: "ENGINE_FAILED",
          message: expect.stringMatching(
            /^the routing of layer 2 \(deepseek2\) contradicts itself at token \d+ of the step: expert .* By its graph the rule is: softmax.*hidden_states, attention and activation:<tensor> can be captured/,
          ),
        }),
      );
      // Nothing of the kind is asked of other streams and layers.
      expect(capture(["hidden_states"])).toBe(tokens.length);
      expect(capture(["expert_ids"], { layers: [1] })).toBe(tokens.length);
      expect(() => capture(["expert_ids"], { layers: [2] })).toThrow("contradicts itself");
    } finally {
      session.close();
    }
  });

  it("is for experts and weights of a layer whose rule is not known, as far as it goes", async () => {
    const { session, capture } = await open("deepseek_v3");
    try {
      mislead(session, (of) => ({ ...of, gating: null, bias: null }));
      expect(capture(["expert_ids"])).toBe(tokens.length);
      mislead(session, (of) => ({ ...of, gating: null, bias: null, experts: 1 }));
      expect(() => capture(["expert_ids", "router_logits"])).toThrow(
        /expert \d+ was used, and there are experts 0 to 0/,
      );
    } finally {
      session.close();
    }
  });

  it("takes what it needs once, and changes no row", async () => {
    const { session, capture } = await open("qwen3_moe");
    const targets = vi.spyOn(Tap.prototype, "setTargets");
    const check = vi.spyOn(GateCheck.prototype, "check");
    try {
      const streamsOf = (call: number) =>
        new Set(targets.mock.calls[call]![0].proven.map(({ stream }) => stream));
      expect(capture(["expert_ids"], { maxTokens: 5 })).toBe(tokens.length + 4);
      expect(targets).toHaveBeenCalledTimes(2);
      expect(streamsOf(0)).toEqual(new Set(["expert_ids", "router_logits", "expert_weights"]));
      expect(streamsOf(1)).toEqual(new Set(["expert_ids"]));
      expect(check).toHaveBeenCalledTimes(1);
      // Not again for what has been seen to be right, whatever is asked for.
      capture(["expert_ids"], { maxTokens: 5 });
      expect(targets).toHaveBeenCalledTimes(2);
      capture(["expert_weights"]);
      expect(targets).toHaveBeenCalledTimes(3);
      expect(streamsOf(2)).toEqual(new Set(["expert_weights"]));
      expect(check).toHaveBeenCalledTimes(1);
    } finally {
      vi.restoreAllMocks();
      session.close();
    }
  });

  it("waits for the rows of the last layer, which only captured tokens have", async () => {
    const { session, capture } = await open("qwen3_moe");
    const check = vi.spyOn(GateCheck.prototype, "check");
    expect(session.gates.open(planFor(await inspectFile(ggufOf("qwen3_moe")), {})).size).toBeGreaterThan(0);
    const plan = planFor(await inspectFile(ggufOf("qwen3_moe")), { streams: ["expert_ids"] });
    try {
      // The prompt takes two steps, and the first has no row that is kept.
      expect(tokens.length).toBeGreaterThan(16);
      expect(capture(["expert_ids"], { last: 1 })).toBe(1);
      expect(check).toHaveBeenCalledTimes(2);
      expect(session.gates.open(plan)).toEqual(new Set());
    } finally {
      vi.restoreAllMocks();
      session.close();
    }
  });
});

describe("gateFault", () => {
  const SIGMOID: Gating = {
    ...{ score: "sigmoid", chosenBy: "scores", normalize: true, scale: 1 },
    ...{ selectionBias: false, groups: null, weighted: "outputs" },
  };
  const rows = (logits: number[], ids: number[], weights: number[]) => ({
    ...{ logits: Float32Array.from(logits), ids, weights: Float32Array.from(weights) },
    ...{ experts: logits.length, topK: ids.length },
  });
  const half = [0.5, 0.5];

  it("lets scores that engines cannot tell apart come in any order", () => {
    // Both sigmoids are 1 in single precision.
    expect(gateFault(rows([20, 30, 1], [0, 1], half), SIGMOID, null)).toBe(null);
    expect(gateFault(rows([20, 30, 1], [1, 0], half), SIGMOID, null)).toBe(null);
    const byLogits: Gating = { ...SIGMOID, chosenBy: "logits" };
    expect(gateFault(rows([20, 30, 1], [0, 1], half), byLogits, null)?.what).toBe(
      "expert 1 comes behind expert 0, and ranks before it (30 to 20)",
    );
  });

  it("names what is wrong", () => {
    expect(gateFault(rows([2, 1, 3], [2, 1], half), SIGMOID, null)?.what).toContain(
      "expert 1 was used and expert 0 was not",
    );
    expect(gateFault(rows([2, 1, 3], [2, 2], half), SIGMOID, null)?.what).toContain("used twice");
    expect(gateFault(rows([2, 1, 3], [2, 3], half), SIGMOID, null)?.what).toContain("experts 0 to 2");
    expect(gateFault(rows([2, 1, 3], [2, -1], half), null, null)?.what).toContain("expert -1");
    expect(gateFault(rows([2, 1, 3], [2, 0], half), SIGMOID, null)?.what).toBe(
      "expert 2 has the weight 0.5, and the rule gives 0.5196",
    );
    expect(gateFault(rows([2, 1, 3], [2, 0], [Number.NaN, 1]), null, null)?.what).toBe("a weight is NaN");
  });

  it("holds a group that is not among the best against the choice, and lets equal groups be", () => {
    const grouped: Gating = { ...SIGMOID, normalize: false, groups: { count: 2, used: 1, best: 2 } };
    const s = (x: number) => 1 / (1 + Math.exp(-x));
    // Group 0 has the best expert, group 1 the best two.
    const logits = [5, -5, 2, 2.5];
    expect(gateFault(rows(logits, [3, 2], [s(2.5), s(2)]), grouped, null)).toBe(null);
    expect(gateFault(rows(logits, [0, 1], [s(5), s(-5)]), grouped, null)?.what).toContain(
      "group 0 is not among the best 1 of 2",
    );
    expect(gateFault(rows(logits, [0, 3], [s(5), s(2.5)]), grouped, null)?.what).toContain("group 0");
    const even = [1, 2, 2, 1];
    for (const ids of [
      [1, 0],
      [2, 3],
    ])
      expect(gateFault(rows(even, ids, [s(2), s(1)]), grouped, null)).toBe(null);
  });

  it("passes over rows whose logits are not finite, as a damaged model has them", () => {
    expect(gateFault(rows([Number.NaN, 1, 2], [1, 0], [Number.NaN, 0]), SIGMOID, null)).toBe(null);
  });
});
