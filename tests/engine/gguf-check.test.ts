import { describe, expect, test } from "vitest";
import { metadataFault } from "../../src/engines/llama/gguf-check.ts";

/** What any model's file says, of two layers. */
const usual = {
  block_count: 2,
  context_length: 4096,
  embedding_length: 2048,
  feed_forward_length: 512,
  "attention.head_count": 16,
};

const tensors = [0, 1].map((layer) => ({
  name: `blk.${layer}.attn_norm.weight`,
  n_dims: 1,
  shape: [2048n],
  dtype: 0,
  offset: 0n,
}));

const faultOf = (architecture: string, keys: Readonly<Record<string, unknown>>) =>
  metadataFault(
    {
      "general.architecture": architecture,
      ...Object.fromEntries(
        Object.entries({ ...usual, ...keys }).map(([key, value]) => [`${architecture}.${key}`, value]),
      ),
    },
    tensors,
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

  test("and one that would end the process does not", () => {
    expect(faultOf("llama", { "attention.head_count_kv": 5 })).toContain("cannot share 5");
    expect(faultOf("kimi-linear", { ...hybridLatent, "attention.head_count_kv": [0, 4] })).toContain(
      "is not 1",
    );
    expect(faultOf("deepseek2", { expert_count: 8, expert_used_count: [0, 9] })).toContain("uses 9 of 8");
    expect(faultOf("deepseek2", { expert_count: 8, expert_used_count: [0, 0] })).toContain("uses 0 of 8");
  });
});
