import { describe, expect, expectTypeOf, it } from "vitest";
import * as analysis from "../../src/analysis.ts";
import type {
  Capture,
  CaptureOptions,
  CaptureWith,
  LanguageModel,
  Sink,
  StreamName,
  Tensor,
  TokenEvent,
} from "../../src/index.ts";
import * as api from "../../src/index.ts";

describe("the public API", () => {
  it("is this list", () => {
    expect(Object.keys(api).sort()).toMatchInlineSnapshot(`
      [
        "Capture",
        "CaptureError",
        "EXPORT_FORMATS",
        "EngineError",
        "FolderSink",
        "ModelError",
        "MoescopeError",
        "RequestError",
        "STREAMS",
        "advisePlacement",
        "expertCache",
        "expertLoad",
        "exportCapture",
        "formatMoeRouterLogitsSummary",
        "hs",
        "inspectModel",
        "load",
        "moeLayer",
        "npyBytes",
        "openCapture",
        "placeOnRanks",
        "printMoeRouterLogitsSummary",
        "pruneCandidates",
        "rebalanceExperts",
        "reportHtml",
        "route",
        "routedExperts",
        "rowGate",
        "selectionBias",
        "softmax",
        "storedRun",
        "streamArray",
        "tensor",
        "topk",
        "usageTable",
      ]
    `);
    expect(Object.keys(analysis).sort()).toMatchInlineSnapshot(`
      [
        "analyzeCapture",
        "coactivation",
        "coactivationReducer",
        "coefficientOfVariation",
        "combine",
        "compareCaptures",
        "compareCheckpoints",
        "compareLabels",
        "entropyReducer",
        "expertUsage",
        "largestShifts",
        "loadBalance",
        "maxViolation",
        "measures",
        "normalizedEntropy",
        "reducer",
        "routingEntropy",
        "routingMargin",
        "rowEntropy",
        "rowMargin",
        "specialization",
        "specializedExperts",
        "underusedExperts",
        "usageReducer",
      ]
    `);
    expect(Object.keys(api.hs).sort()).toMatchInlineSnapshot(`
      [
        "CaptureResult",
        "HiddenStatesCaptureGenerate",
        "HiddenStatesCaptureV1",
        "MoERouterLogitsCaptureGenerate",
        "MoERouterLogitsCaptureV1",
        "analyzeExpertUsage",
        "capture",
        "formatMoeRouterLogitsSummary",
        "getAllHiddenStates",
        "getAllHiddenStatesGenerate",
        "getMoeRouterLogits",
        "getMoeRouterLogitsGenerate",
        "printMoeRouterLogitsSummary",
        "softmax",
        "topk",
      ]
    `);
  });
});

describe("its types", () => {
  it("say what comes back", () => {
    // Checked by the compiler (npm run typecheck); there is no model to call.
    const calls = (llm: LanguageModel) => ({
      memory: llm.capture("a"),
      folder: llm.capture(["a"], { into: "folder/" }),
      sink: llm.capture("a", { into: {} as Sink<number> }),
      stream: llm.stream("a"),
    });
    type Calls = ReturnType<typeof calls>;
    type Routing = CaptureWith<"router_logits" | "expert_ids" | "expert_weights">;
    expectTypeOf<Calls["memory"]>().toEqualTypeOf<Promise<Routing>>();
    expectTypeOf<Calls["folder"]>().toEqualTypeOf<Promise<Routing>>();
    expectTypeOf<Calls["sink"]>().toEqualTypeOf<Promise<number>>();
    expectTypeOf<Calls["stream"]>().toExtend<AsyncIterable<TokenEvent>>();
    expectTypeOf<Capture["routerLogits"]["get"]>().returns.toEqualTypeOf<Tensor<"float32"> | undefined>();
    expectTypeOf<Capture["expertIds"]["get"]>().returns.toEqualTypeOf<Tensor<"uint16"> | undefined>();
  });

  it("know the streams that were asked for", () => {
    const calls = async (llm: LanguageModel, options: CaptureOptions, names: StreamName[]) => {
      const states = await llm.capture("a", { streams: ["hidden_states"], layers: [3] });
      states.hiddenStates.get(3);
      states.sample(0).hiddenStates.get(3);
      // @ts-expect-error not asked for
      states.routerLogits.get(3);
      // @ts-expect-error nor in a part of it
      states.sample(0).expertIds.get(3);
      // @ts-expect-error nor in several samples
      states.only([0, 1]).attention.get(3);
      const routing = await llm.capture(["a", "b"]);
      routing.routerLogits.get(3);
      routing.expertWeights.get(3);
      // @ts-expect-error none of the default
      routing.hiddenStates.get(3);
      const attention = await llm.capture("a", { streams: ["attention"], attention: { topKeys: 4 } });
      attention.attentionKeys.get(3);
      const tensor = await llm.capture("a", { streams: ["activation:ffn_norm", "expert_ids"] });
      tensor.activation("ffn_norm").get(3);
      tensor.expertIds.get(3);
      // @ts-expect-error not asked for
      tensor.expertOutputs.get(3);
      const stored = await llm.capture("a", {
        streams: ["hidden_states"],
        into: new api.FolderSink("folder"),
      });
      stored.hiddenStates.get(3);
      // @ts-expect-error not asked for in a folder either
      stored.routerLogits.get(3);
      // What is only known when it runs, and what comes from a disk, may have any.
      (await llm.capture("a", options)).hiddenStates.get(3);
      (await llm.capture("a", { streams: names })).hiddenStates.get(3);
      (await llm.resume("folder")).hiddenStates.get(3);
      (await api.openCapture("folder")).hiddenStates.get(3);
      // Whatever takes a capture takes one that is known better.
      analysis.routingEntropy(routing);
      analysis.analyzeCapture(states);
      // @ts-expect-error an option that nobody has
      llm.capture("a", { streams: ["expert_ids"], max_tokens: 3 });
    };
    expectTypeOf(calls).toBeFunction();
  });

  it("refuse what is wrong", () => {
    const llm = {} as LanguageModel;
    const never = () => {
      // @ts-expect-error a prompt is no number
      void llm.capture(3);
      // @ts-expect-error phases have names
      void llm.capture("a", { select: { phase: "decode" } });
      // @ts-expect-error a strategy nobody has
      void api.load("m.gguf", { strategy: "magic" });
    };
    expectTypeOf(never).toBeFunction();
  });
});
