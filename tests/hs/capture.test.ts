import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import type { Tensor } from "../../src/core/tensor.ts";
import * as hs from "../../src/hs.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import { families, ggufOf, maxDifference, Reference } from "../fixtures/families.ts";
import { syntheticEngine, value } from "./synthetic-engine.ts";

const FAMILY = "qwen3_moe";
const family = families.find(({ name }) => name === FAMILY)!;
const reference = new Reference(FAMILY);
const tokenIds = [...reference.tokens];
/** Of each layer, as Hugging Face transformers computed them. */
const rowsOf = (stream: string, layer: number, rows: readonly number[]) => {
  const data = reference.get(`${stream}.${layer}`);
  const width = data.length / tokenIds.length;
  return rows.flatMap((row) => [...data.subarray(row * width, (row + 1) * width)]);
};
const near = (given: Tensor<"float32">, expected: number[], stream: "hidden_states" | "router_logits") =>
  expect(maxDifference(given.data, expected)).toBeLessThanOrEqual(family.tolerances[stream]);

const llm = LanguageModel.of(syntheticEngine());
const bytes = (text: string) => [...Buffer.from(text)];

describe("on a model, held against transformers", () => {
  let real: LanguageModel;
  beforeAll(async () => {
    const exact = { kvType: "f32", flashAttention: false } as const;
    real = await load(ggufOf(FAMILY), { ...exact, threads: 1, contextSize: 1024, batchSize: 16 });
  });
  afterAll(() => real.close());

  test("capture gives the hidden states of the rows that were selected", async () => {
    const last = tokenIds.length - 1;
    const result = await hs.capture(real, [{ tokenIds }], { select: { promptPositions: [0, -1] } });
    expect(result.layerIds).toEqual([...Array(real.info.layers).keys()]);
    expect(result.samplePositions(0)).toEqual([0, last]);
    expect(result.sampleTokenIds(0)).toEqual([tokenIds[0], tokenIds[last]]);
    for (const layer of result.layerIds)
      near(result.rows(layer), rowsOf("hidden_states", layer, [0, last]), "hidden_states");
  });

  test("capture gives router logits, and their mean made in the engine", async () => {
    const layers = [family.moeLayers[0]!, -1];
    const stream = "router_logits";
    const every = await hs.capture(real, [{ tokenIds }], { stream, layers });
    const mean = await hs.capture(real, [{ tokenIds }, { tokenIds }], { stream, layers, reduce: "mean" });
    expect(mean.meta(layers[0]!)).toMatchObject({ length: 2, reqIds: ["0", "1"] });
    for (const layer of every.layerIds) {
      const rows = rowsOf(stream, layer, [...tokenIds.keys()]);
      near(every.rows(layer), rows, stream);
      const width = every.rows(layer).dims[1]!;
      const expected = Array.from({ length: width }, (_, i) => {
        const column = rows.filter((_, at) => at % width === i);
        return column.reduce((sum, x) => sum + x, 0) / column.length;
      });
      for (const sample of [0, 1]) near(mean.sampleRows(sample, layer), expected, stream);
    }
  });

  test("getAllHiddenStatesGenerate and its class give what transformers computes, and the prompt's ids", async () => {
    const options = { prompts: [{ tokenIds }] as never, maxTokens: 1 };
    const [states, outputs] = await hs.getAllHiddenStatesGenerate(real, options);
    for (const [layer, given] of states[0]!)
      near(given, rowsOf("hidden_states", layer, [...tokenIds.keys()]), "hidden_states");
    expect([...outputs[0]!.promptTokenIds]).toEqual(tokenIds);
    expect(outputs[0]!.tokens).toHaveLength(1);
    const generate = new hs.HiddenStatesCaptureGenerate();
    expect(await generate.getAllHiddenStatesGenerate(real, options)).toEqual([states, outputs]);
  });

  test("n draws several samples of a prompt, each with its rows, and the same ones again", async () => {
    const run = () =>
      hs.capture(real, ["the router", "sends"], { n: 3, temperature: 1.5, maxTokens: 8, ignoreEos: true });
    const result = await run();
    expect(result.length).toBe(6);
    const texts = result.outputs.map(({ text }) => text);
    expect(new Set(texts.slice(0, 3)).size).toBeGreaterThan(1);
    expect((await run()).outputs.map(({ text }) => text)).toEqual(texts);
    for (const { sample, promptTokenIds, tokens } of result.outputs)
      expect(result.sampleTokenIds(sample)).toEqual([...promptTokenIds, ...tokens.slice(0, -1)]);
  });
});

describe("CaptureResult", () => {
  const capture = () => hs.capture(llm, ["Hello", "you"], { maxTokens: 3, layers: [1, 3] });

  test("has rows, labels and views of samples", async () => {
    const result = await capture();
    expect(result).toMatchObject({ length: 2, labelled: true, layerIds: [1, 3], dropped: 0 });
    expect(result.rows(3).dims).toEqual([12, 4]);
    expect(result.meta(3)).toEqual({
      length: 12,
      reqIds: [...Array(7).fill("0"), ...Array(5).fill("1")],
      positions: Int32Array.of(0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4),
      tokenIds: Int32Array.from(bytes("Hello!!you!!")),
    });
    expect(result.samplePositions(1)).toEqual([0, 1, 2, 3, 4]);
    expect(result.sampleTokenIds(1)).toEqual(bytes("you!!"));
    const own = bytes("you!!").flatMap((id) => [0, 1, 2, 3].map((i) => value(id, 3, i)));
    expect([...result.sample(1).get(3)!.data]).toEqual(own);
    expect([...result.sampleRows(1, 3).data]).toEqual(own);
    expect(result.token(1, 3)).toEqual({
      type: "float32",
      dims: [4],
      data: Float32Array.from(own.slice(-4)),
    });
    expect([...result.token(1, 3, 0).data]).toEqual(own.slice(0, 4));
    expect([...result.layers.keys()]).toEqual([1, 3]);
  });

  test("toNested lists layers by their place", async () => {
    const result = await capture();
    const nested = result.toNested();
    expectTypeOf(nested).toEqualTypeOf<Tensor<"float32">[][]>();
    expect(nested).toHaveLength(2);
    expect(nested[1]![1]).toEqual(result.sample(1).get(3));
  });

  test("refuses layers, samples and rows it does not have", async () => {
    const result = await capture();
    expect(() => result.rows(2)).toThrow(expect.objectContaining({ code: "UNKNOWN_LAYER" }));
    expect(() => result.meta(2)).toThrow(expect.objectContaining({ code: "UNKNOWN_LAYER" }));
    expect(() => result.sample(2)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
    expect(() => result.token(0, 3, 7)).toThrow("sample 0 has 7 rows and none at 7");
  });

  test("budgetRows keeps the first rows and counts the others", async () => {
    const all = await capture();
    const result = await hs.capture(llm, ["Hello", "you"], { maxTokens: 3, layers: [1, 3], budgetRows: 7 });
    expect(result.dropped).toBe(5);
    expect(result.rows(1).dims[0]).toBe(7);
    expect(all.dropped).toBe(0);
    expect(result.outputs).toHaveLength(2);
  });
});

describe("the generating functions", () => {
  test("tokenIds and positions are short for a selection", async () => {
    const positionsOf = async (options: object) => {
      const [states] = await hs.getAllHiddenStatesGenerate(llm, {
        prompts: ["Hello"],
        maxTokens: 3,
        layers: [0],
        ...options,
      });
      return [...states[0]!.get(0)!.data].filter((_, i) => i % 4 === 0);
    };
    const of = (text: string) => bytes(text).map((id) => value(id, 0, 0));
    expect(await positionsOf({ tokenIds: bytes("l!") })).toEqual(of("ll!!"));
    expect(await positionsOf({ positions: [-1, 0] })).toEqual(of("Ho"));
    expect(await positionsOf({ positions: [0], tokenIds: bytes("o") })).toEqual(of("Ho"));
    await expect(positionsOf({ positions: [0], select: { prompt: "all" } })).rejects.toThrow(
      "does not go with",
    );
    await expect(positionsOf({ tokenIds: [] })).rejects.toThrow("tokenIds is empty");
  });

  test("samples are merged when asked", async () => {
    const [merged] = await hs.getAllHiddenStatesGenerate(llm, {
      prompts: ["Hello", { prompt: "you" }],
      splitBySamples: false,
    });
    expectTypeOf(merged).toEqualTypeOf<Map<number, Tensor<"float32">>>();
    expect(merged.get(0)!.dims).toEqual([8, 4]);
  });

  test("classes give what the functions give", async () => {
    expect(await new hs.HiddenStatesCaptureV1().getAllHiddenStates(llm, ["Hello"])).toEqual(
      await hs.getAllHiddenStates(llm, ["Hello"]),
    );
    const options = { prompts: ["Hello"], maxTokens: 3 };
    expect(await new hs.MoERouterLogitsCaptureGenerate().getRouterLogitsGenerate(llm, options)).toEqual(
      await hs.getMoeRouterLogitsGenerate(llm, options),
    );
  });

  test("outputs bring the prompt's ids, also of the first version", async () => {
    const [, outputs] = await hs.getMoeRouterLogits(llm, ["Hello"]);
    expect([...outputs[0]!.promptTokenIds]).toEqual(bytes("Hello"));
  });
});
