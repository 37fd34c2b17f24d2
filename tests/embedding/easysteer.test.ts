import { afterAll, beforeAll, expect, it, vi } from "vitest";
import * as hs from "../../src/hs.ts";
import type { LanguageModel } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import { embeddingGguf } from "../fixtures/embedding-families.ts";

/** EasySteer's guide begins with `LLM(model=..., task="embed")`: the same calls here, on an embedding model. */
const texts = ["the router sends", "experts"];
let llm: LanguageModel;
beforeAll(async () => {
  llm = await load(embeddingGguf("nomic_bert_moe"), { task: "embed", threads: 1 });
});
afterAll(() => llm.close());

it("getMoeRouterLogits gives the logits of every MoE layer, and embeddings with the outputs", async () => {
  const [routerLogits, outputs] = await hs.getMoeRouterLogits(llm, texts);
  const tokens = (await Promise.all(texts.map((text) => llm.encode(text)))).map(({ length }) => length);
  const rows = tokens.reduce((sum, length) => sum + length, 0);
  expect([...routerLogits].map(([layer, { dims }]) => [layer, dims])).toEqual([
    [1, [rows, 8]],
    [3, [rows, 8]],
  ]);
  expect(outputs.map(({ embedding }) => embedding?.length)).toEqual([32, 32]);
  for (const { embedding } of outputs) expect(Math.hypot(...embedding!)).toBeCloseTo(1, 5);
  const [bySample] = await hs.getMoeRouterLogits(llm, texts, { splitBySamples: true });
  expect(bySample.map((logits) => logits.get(1)!.dims[0])).toEqual(tokens);
  const print = vi.spyOn(console, "log").mockImplementation(() => {});
  hs.printMoeRouterLogitsSummary(routerLogits);
  expect(print.mock.calls[0]![0]).toContain("Captured 2 MoE layers");
  print.mockRestore();
  expect(hs.analyzeExpertUsage(routerLogits, { topK: 2 }).numTokensAnalyzed).toBe(rows);
});

it("getAllHiddenStates gives a Map a sample, and the same embeddings", async () => {
  const [hiddenStates, outputs] = await hs.getAllHiddenStates(llm, texts);
  expect(hiddenStates.map((layers) => [...layers.keys()])).toEqual([
    [0, 1, 2, 3],
    [0, 1, 2, 3],
  ]);
  const [, others] = await hs.getMoeRouterLogits(llm, texts);
  expect(outputs).toEqual(others);
  // The mean of the last layer's rows, scaled: this model has no norm behind it.
  const { data, dims } = hiddenStates[0]!.get(3)!;
  const [rows, width] = dims as [number, number];
  const mean = Float64Array.from({ length: width }, (_, i) => {
    let sum = 0;
    for (let row = 0; row < rows; row++) sum += data[row * width + i]!;
    return sum / rows;
  });
  const length = Math.hypot(...mean);
  outputs[0]!.embedding!.forEach((value, i) => {
    expect(value).toBeCloseTo(mean[i]! / length, 5);
  });
});
