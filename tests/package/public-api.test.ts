import { describe, expect, expectTypeOf, it } from "vitest";
import type { Capture, LanguageModel, Sink, Tensor, TokenEvent } from "../../src/index.ts";
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
        "analyzeCapture",
        "coactivation",
        "coactivationReducer",
        "coefficientOfVariation",
        "combine",
        "compareCaptures",
        "compareLabels",
        "entropyReducer",
        "expertLoad",
        "expertUsage",
        "exportCapture",
        "formatMoeRouterLogitsSummary",
        "hs",
        "inspectModel",
        "largestShifts",
        "load",
        "loadBalance",
        "maxViolation",
        "measures",
        "moeLayer",
        "normalizedEntropy",
        "npyBytes",
        "openCapture",
        "printMoeRouterLogitsSummary",
        "pruneCandidates",
        "reducer",
        "reportHtml",
        "route",
        "routedExperts",
        "routingEntropy",
        "routingMargin",
        "rowEntropy",
        "rowMargin",
        "selectionBias",
        "softmax",
        "specialization",
        "specializedExperts",
        "storedRun",
        "streamArray",
        "tensor",
        "topk",
        "underusedExperts",
        "usageReducer",
        "usageTable",
      ]
    `);
    expect(Object.keys(api.hs).sort()).toMatchInlineSnapshot(`
      [
        "MoERouterLogitsCaptureV1",
        "analyzeExpertUsage",
        "formatMoeRouterLogitsSummary",
        "getAllHiddenStates",
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
    expectTypeOf<Calls["memory"]>().toEqualTypeOf<Promise<Capture>>();
    expectTypeOf<Calls["folder"]>().toEqualTypeOf<Promise<Capture>>();
    expectTypeOf<Calls["sink"]>().toEqualTypeOf<Promise<number>>();
    expectTypeOf<Calls["stream"]>().toExtend<AsyncIterable<TokenEvent>>();
    expectTypeOf<Capture["routerLogits"]["get"]>().returns.toEqualTypeOf<Tensor<"float32"> | undefined>();
    expectTypeOf<Capture["expertIds"]["get"]>().returns.toEqualTypeOf<Tensor<"uint16"> | undefined>();
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
