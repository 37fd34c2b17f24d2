import { describe, expect, test } from "vitest";
import { metadataFault } from "../../src/engines/llama/model/gguf-check.ts";

/** What any model's file says, of two layers. */
const usual = {
  block_count: 2,
  context_length: 4096,
  embedding_length: 2048,
  feed_forward_length: 512,
  "attention.head_count": 16,
};

const tensors = (layers: number) =>
  Array.from({ length: layers }, (_, layer) => ({
    name: `blk.${layer}.attn_norm.weight`,
    n_dims: 1,
    shape: [2048n],
    dtype: 0,
    offset: 0n,
  }));

/** sentence-transformers' linear layers behind the pooling. */
const dense = (...[in2, out2, in3, out3]: number[]) => ({
  dense_2_feat_in: in2,
  dense_2_feat_out: out2,
  ...(in3 !== undefined && { dense_3_feat_in: in3, dense_3_feat_out: out3 }),
});

const faultOf = (architecture: string, keys: Readonly<Record<string, unknown>>, layers = 2) =>
  metadataFault(
    {
      "general.architecture": architecture,
      ...Object.fromEntries(
        Object.entries({ ...usual, ...keys }).map(([key, value]) => [`${architecture}.${key}`, value]),
      ),
    },
    tensors(layers),
  );

/** As llama.cpp's converters (`conversion/*.py`) write latent attention beside recurrent layers, which have no heads. */
const hybridLatent = {
  "attention.head_count_kv": [0, 1],
  "attention.kv_lora_rank": 512,
  "attention.key_length": 576,
  "attention.key_length_mla": 192,
  "rope.dimension_count": 64,
};

describe("a header that llama.cpp loads passes", () => {
  test.each<[string, string, Record<string, unknown>]>([
    ["Kimi-Linear", "kimi-linear", hybridLatent],
    ["Bailing-MoE 3", "bailingmoe3", hybridLatent],
    [
      "layers without heads, key-value heads the same for all",
      "nemotron_h",
      {
        "attention.head_count": [0, 16],
        "attention.head_count_kv": 8,
      },
    ],
    [
      "other heads in each layer",
      "openelm",
      {
        "attention.head_count": [12, 16],
        "attention.head_count_kv": [3, 4],
        "attention.key_length": 128,
        feed_forward_length: [512, 1024],
      },
    ],
    ["a width that its heads do not divide", "phi2", { embedding_length: 2060, "rope.dimension_count": 32 }],
    ["other numbers of experts by layer", "deepseek2", { expert_count: 8, expert_used_count: [0, 2] }],
    [
      "no layer of experts",
      "lfm2moe",
      {
        expert_count: 8,
        expert_used_count: 2,
        expert_gating_func: 2,
        leading_dense_block_count: 2,
      },
    ],
    ["a dense Hunyuan, with one expert", "hunyuan-dense", { expert_count: 1, expert_used_count: 0 }],
    ["no attention", "mamba2", { "attention.head_count": 0 }],
    ["keys nobody knows", "llama", { "something.new": [1, 2], "something.else": "x" }],
  ])("%s", (_, architecture, keys) => {
    expect(faultOf(architecture, keys)).toBe(null);
  });

  test.each<[string, string, Record<string, unknown>]>([
    ["layers behind the pooling", "gemma-embedding", { block_count: 6, ...dense(2048, 3072, 3072, 2048) }],
    ["a layer of each kind", "modern-bert", { "attention.sliding_window": 8 }],
    [
      "kinds of layers that are listed",
      "gemma-embedding",
      { "attention.sliding_window_pattern": [true, false] },
    ],
    ["no window", "modern-bert", { "attention.sliding_window_pattern": 1 }],
  ])("embeddings: %s", (_, architecture, keys) => {
    expect(faultOf(architecture, keys, Number(keys.block_count ?? 2))).toBe(null);
  });

  test.each<[string, string, Record<string, unknown>, string]>([
    ["a pooling that llama.cpp has not", "bert", { pooling_type: 5 }, "pooling_type is 5"],
    [
      "widths that do not meet",
      "gemma3",
      dense(2048, 3072, 2048, 2048),
      "dense_3_feat_in is 2048 for vectors of 3072",
    ],
    ["a first width that is another", "gemma3", dense(512, 3072, 3072, 2048), "dense_2_feat_in is 512"],
    ["vectors of another size at the end", "gemma3", dense(2048, 3072), "end at 3072 values, not 2048"],
    ["windows in all layers", "gemma-embedding", {}, "none of its 2 layers"],
    [
      "no layer with a window",
      "modern-bert",
      { "attention.sliding_window": 8, "attention.sliding_window_pattern": 1 },
      "each of its 2 layers",
    ],
  ])("embeddings: not %s", (_, architecture, keys, words) => {
    expect(faultOf(architecture, keys)).toContain(words);
  });

  test("and one that would end the process does not", () => {
    expect(faultOf("llama", { "attention.head_count_kv": 5 })).toContain("cannot share 5");
    expect(faultOf("kimi-linear", { ...hybridLatent, "attention.head_count_kv": [0, 4] })).toContain(
      "is not 1",
    );
    expect(faultOf("deepseek2", { expert_count: 8, expert_used_count: [0, 9] })).toContain("uses 9 of 8");
    expect(faultOf("deepseek2", { expert_count: 8, expert_used_count: [0, 0] })).toContain("uses 0 of 8");
  });
});
