import { describe, expect, it } from "vitest";
import { normalized } from "../../src/core/embedding.ts";
import { type PurposeRequest, purposeOf } from "../../src/engines/llama/run/purpose.ts";
import { load } from "../../src/run/load.ts";
import { embeddingFamilies, embeddingGguf } from "../fixtures/embedding-families.ts";
import { families, ggufOf } from "../fixtures/families.ts";

const NOTHING: PurposeRequest = {
  task: null,
  pooling: null,
  normalize: null,
  filePooling: null,
  fileCausal: null,
  classifier: false,
  encoder: false,
};
const of = (asked: Partial<PurposeRequest>, causal: boolean) =>
  purposeOf({ ...NOTHING, ...asked }, { causal, gelu: true });

describe("what a model is loaded for", () => {
  it.each<[string, Partial<PurposeRequest>, boolean, ReturnType<typeof purposeOf>]>([
    [
      "text, where it is causal",
      {},
      true,
      { task: "generate", causal: true, embedding: null, whole: false, together: true },
    ],
    [
      "embeddings, where it is not",
      {},
      false,
      {
        task: "embed",
        causal: false,
        embedding: { pooling: "mean", normalize: true },
        whole: true,
        together: false,
      },
    ],
    [
      "embeddings, where its file names a pooling",
      { filePooling: "last" },
      true,
      {
        task: "embed",
        causal: true,
        embedding: { pooling: "last", normalize: true },
        whole: false,
        together: true,
      },
    ],
    [
      "text, where its file says that nothing is pooled",
      { filePooling: "none" },
      true,
      { task: "generate", causal: true, embedding: null, whole: false, together: true },
    ],
    [
      "rows alone, where it is not causal and nothing is pooled",
      { filePooling: "none" },
      false,
      { task: "embed", causal: false, embedding: null, whole: true, together: false },
    ],
    [
      "the pooling that is asked for",
      { task: "embed", filePooling: "last", pooling: "mean", normalize: false },
      true,
      {
        task: "embed",
        causal: true,
        embedding: { pooling: "mean", normalize: false },
        whole: true,
        together: true,
      },
    ],
    [
      "scores, which are not scaled",
      { filePooling: "rank", classifier: true },
      false,
      {
        task: "embed",
        causal: false,
        embedding: { pooling: "rank", normalize: false },
        whole: true,
        together: false,
      },
    ],
    [
      "text, though its file names a pooling",
      { task: "generate", filePooling: "last" },
      true,
      { task: "generate", causal: true, embedding: null, whole: false, together: true },
    ],
  ])("%s", (_, asked, causal, expected) => {
    expect(of(asked, causal)).toEqual(expected);
  });

  it("lets prompts share a step where it is not causal, but has no GELU", () => {
    expect(purposeOf(NOTHING, { causal: false, gelu: false })).toMatchObject({ whole: true, together: true });
  });

  it.each<[string, Partial<PurposeRequest>, boolean, string]>([
    ["generating without causal attention", { task: "generate" }, false, "cannot generate"],
    ["pooling of what generates", { pooling: "mean" }, true, 'set task to "embed"'],
    ["scaling of what generates", { task: "generate", normalize: false }, true, 'set task to "embed"'],
    ["scores without a classifier", { pooling: "rank" }, false, "needs a classifier"],
    ["scores that a file promises without one", { filePooling: "rank" }, false, "needs a classifier"],
  ])("refuses %s", (_, asked, causal, words) => {
    expect(() => of(asked, causal)).toThrow(words);
  });
});

describe("whether attention is causal comes from the graph", () => {
  it.each(families.map(({ name }) => name))("%s is", async (name) => {
    const llm = await load(ggufOf(name), { threads: 1, contextSize: 256 });
    expect(llm.task).toBe("generate");
    await llm.close();
  });

  it.each(embeddingFamilies.map(({ name, causal }) => [name, causal] as const))(
    "%s: %s",
    async (name, causal) => {
      const asked = load(embeddingGguf(name), { threads: 1, contextSize: 64, task: "generate" });
      if (!causal)
        return expect(asked).rejects.toMatchObject({ message: expect.stringContaining("not causal") });
      expect((await asked).task).toBe("generate");
      await (await asked).close();
    },
  );
});

it("scales as llama.cpp's tools do, and leaves zeros alone", () => {
  expect(normalized(Float32Array.of(3, 4))).toEqual(Float32Array.of(0.6, 0.8));
  expect(normalized(new Float32Array(3))).toEqual(new Float32Array(3));
});
