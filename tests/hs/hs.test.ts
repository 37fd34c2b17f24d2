import { afterEach, describe, expect, expectTypeOf, test, vi } from "vitest";
import type { Tensor } from "../../src/core/tensor.ts";
import * as hs from "../../src/hs.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { error, flat, float32, reference } from "../analysis/reference.ts";
import { MODEL, syntheticEngine, value } from "./synthetic-engine.ts";

const llm = LanguageModel.of(syntheticEngine());
const bytes = (text: string) => [...Buffer.from(text)];
/** What the engine gives for these tokens in a layer. */
const rowsOf = (text: string, layer: number, width: number) =>
  bytes(text).flatMap((id) => Array.from({ length: width }, (_, i) => value(id, layer, i)));

afterEach(() => {
  vi.restoreAllMocks();
});

describe("getMoeRouterLogits", () => {
  test("merges samples in order into one tensor per MoE layer", async () => {
    const [routerLogits, outputs] = await hs.getMoeRouterLogits(llm, ["Hello", "you"]);
    expectTypeOf(routerLogits).toEqualTypeOf<Map<number, Tensor<"float32">>>();
    expect(routerLogits).toBeInstanceOf(Map);
    expect([...routerLogits.keys()]).toEqual([1, 3]);
    const logits = routerLogits.get(3)!;
    expect(logits.type).toBe("float32");
    expect(logits.dims).toEqual([8, 8]);
    expect([...logits.data]).toEqual(rowsOf("Helloyou", 3, 8));
    expect(outputs.map(({ text }) => text)).toEqual(["", ""]);
  });

  test("splits by samples when asked", async () => {
    const [bySample] = await hs.getMoeRouterLogits(llm, ["Hello", "you"], { splitBySamples: true });
    expectTypeOf(bySample).toEqualTypeOf<Map<number, Tensor<"float32">>[]>();
    expect(bySample.map((logits) => [...logits.get(1)!.data])).toEqual([
      rowsOf("Hello", 1, 8),
      rowsOf("you", 1, 8),
    ]);
  });

  test("is what the class gives", async () => {
    const capture = new hs.MoERouterLogitsCaptureV1();
    expect(await capture.getRouterLogits(llm, ["Hello"])).toEqual(
      await hs.getMoeRouterLogits(llm, ["Hello"]),
    );
  });

  test("a dense model gives an empty Map and one warning", async () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const dense = LanguageModel.of(syntheticEngine({ ...MODEL, moe: null }));
    const [routerLogits] = await hs.getMoeRouterLogits(dense, ["Hello"]);
    await hs.getMoeRouterLogits(dense, ["Hello"]);
    expect(routerLogits.size).toBe(0);
    expect(hs.analyzeExpertUsage(routerLogits).numTokensAnalyzed).toBe(0);
    expect(hs.formatMoeRouterLogitsSummary(routerLogits)).toBe("Captured 0 MoE layers:");
    expect(warn).toHaveBeenCalledTimes(1);
  });
});

describe("getMoeRouterLogitsGenerate", () => {
  test("merges steps: each sample's prompt, then all but the last token it drew", async () => {
    const prompts = ["Hi", { prompt: "you" }];
    const [routerLogits, outputs] = await hs.getMoeRouterLogitsGenerate(llm, { prompts, maxTokens: 3 });
    expect(routerLogits.get(1)!.dims).toEqual([9, 8]);
    expect([...routerLogits.get(1)!.data]).toEqual(rowsOf("Hi!!you!!", 1, 8));
    expect(outputs.map(({ text }) => text)).toEqual(["!!!", "!!!"]);
  });

  test("draws one token unless told otherwise, and passes sampling on", async () => {
    const capture = vi.spyOn(llm, "capture");
    const [bySample] = await hs.getMoeRouterLogitsGenerate(llm, {
      prompts: ["Hi"],
      temperature: 0.7,
      splitBySamples: true,
    });
    expect(bySample[0]!.get(1)!.dims).toEqual([2, 8]);
    expect(capture.mock.calls[0]![1]).toEqual({ maxTokens: 1, temperature: 0.7, streams: ["router_logits"] });
  });

  test("refuses an image by name, before anything runs", async () => {
    const prompts = ["Hi", { prompt: "Describe", multiModalData: { image: "cat.jpg" } }];
    await expect(hs.getMoeRouterLogitsGenerate(llm, { prompts })).rejects.toMatchObject({
      name: "RequestError",
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(/^prompt 1 comes with an image, .* takes text only$/),
    });
    await hs.getMoeRouterLogitsGenerate(llm, { prompts: [{ prompt: "Hi", multiModalData: {} }] });
  });
});

describe("getAllHiddenStates", () => {
  test("one Map per sample with every layer, beside the router logits", async () => {
    const [hiddenStates, outputs] = await hs.getAllHiddenStates(llm, ["Hello", "you"]);
    expectTypeOf(hiddenStates).toEqualTypeOf<Map<number, Tensor<"float32">>[]>();
    expect(hiddenStates.map((sample) => [...sample.keys()])).toEqual([
      [0, 1, 2, 3],
      [0, 1, 2, 3],
    ]);
    expect(hiddenStates[1]!.get(2)!.dims).toEqual([3, 4]);
    expect([...hiddenStates[1]!.get(2)!.data]).toEqual(rowsOf("you", 2, 4));
    expect(outputs).toHaveLength(2);
  });

  test("merges samples when asked", async () => {
    const [merged] = await hs.getAllHiddenStates(llm, ["Hello", "you"], { splitBySamples: false });
    expectTypeOf(merged).toEqualTypeOf<Map<number, Tensor<"float32">>>();
    expect([...merged.get(0)!.data]).toEqual(rowsOf("Helloyou", 0, 4));
  });
});

describe("analyzeExpertUsage", () => {
  const { input, cases } = reference.analyzeExpertUsage;
  const routerLogits = new Map(Object.entries(input).map(([layer, rows]) => [Number(layer), float32(rows)]));

  test.each(cases)("is EasySteer's with $options", ({ options, output }) => {
    const analysis = hs.analyzeExpertUsage(routerLogits, {
      ...(options.top_k !== undefined && { topK: options.top_k }),
      ...(options.token_range !== undefined && { tokenRange: options.token_range }),
      ...(options.normalize !== undefined && { normalize: options.normalize }),
    });
    expect(analysis.numTokensAnalyzed).toBe(output.num_tokens_analyzed);
    expect([...analysis.loadBalance.keys()]).toEqual([1, 3]);
    for (const layer of routerLogits.keys()) {
      const ids = flat(output.expert_selection[layer]!);
      expect([...analysis.expertSelection.get(layer)!.data]).toEqual(ids);
      expect(
        error(analysis.expertWeights.get(layer)!.data, flat(output.expert_weights[layer]!)),
      ).toBeLessThan(1e-6);
      expect(error(analysis.expertUsageCounts.get(layer)!, output.expert_usage_counts[layer]!)).toBeLessThan(
        1e-6,
      );
      expect(error([analysis.loadBalance.get(layer)!], [output.load_balance[layer]!])).toBeLessThan(1e-6);
    }
  });

  test("of experts as likely the lower one is chosen", () => {
    const even = new Map([[0, float32([[1, 3, 3, 3]])]]);
    expect([...hs.analyzeExpertUsage(even, { topK: 2 }).expertSelection.get(0)!.data]).toEqual([1, 2]);
  });

  test("refuses what no slice and no top-k can be", () => {
    const invalid = expect.objectContaining({ code: "INVALID_ARGUMENT" });
    expect(() => hs.analyzeExpertUsage(routerLogits, { topK: 9 })).toThrow(invalid);
    expect(() => hs.analyzeExpertUsage(routerLogits, { tokenRange: [0.5, null] })).toThrow(invalid);
  });
});

test("the summary lists layers in order, and is printed as it is formatted", () => {
  const logits = { type: "float32", dims: [8, 16], data: new Float32Array(128) } as const;
  const routerLogits = new Map([
    [11, logits],
    [2, logits],
  ]);
  const text = [
    "Captured 2 MoE layers:",
    "  Layer  2: 8 tokens × 16 experts, dtype float32, device cpu",
    "  Layer 11: 8 tokens × 16 experts, dtype float32, device cpu",
  ].join("\n");
  expect(hs.formatMoeRouterLogitsSummary(routerLogits)).toBe(text);
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  hs.printMoeRouterLogitsSummary(routerLogits);
  expect(log).toHaveBeenCalledExactlyOnceWith(text);
});
