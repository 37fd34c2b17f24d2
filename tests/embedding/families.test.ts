import { beforeAll, describe, expect, it } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import { load } from "../../src/run/load.ts";
import {
  embeddingFamilies,
  embeddingGguf,
  embeddingReference,
  tokenization,
} from "../fixtures/embedding-families.ts";
import { maxDifference } from "../fixtures/families.ts";

const EXACT = { kvType: "f32", flashAttention: false, threads: 1, normalize: false } as const;
const ROUTING = ["router_logits", "expert_ids", "expert_weights", "expert_outputs"] as const;
const POOLED = ["mean", "cls", "last"] as const;

describe.each(embeddingFamilies)("$name equals its reference", (family) => {
  const reference = embeddingReference(family.name);
  let redirected: Capture;
  let copied: Capture;

  const routing = family.moeLayers.length > 0 ? ROUTING : [];
  const capture = async (options: object, streams: readonly string[] = [...routing, "attention"]) => {
    const llm = await load(embeddingGguf(family.name), { ...EXACT, task: "embed", ...options });
    try {
      return await llm.capture(reference.tokens, { streams });
    } finally {
      await llm.close();
    }
  };
  beforeAll(async () => {
    redirected = await capture({ strategy: "redirect" });
    copied = await capture({ strategy: "copy" });
  });

  it("is described as it is", () => {
    const { architecture, layers, moe, pooling } = redirected.model;
    expect({ architecture, layers, pooling: pooling ?? null }).toEqual({
      architecture: family.architecture,
      layers: family.layers,
      pooling: family.pooling,
    });
    expect(moe?.layers ?? []).toEqual(family.moeLayers);
  });

  it("router logits, expert ids, weights and outputs", () => {
    for (const name of routing) expect([...redirected.stream(name).keys()]).toEqual(family.moeLayers);
    for (const layer of family.moeLayers) {
      const difference = (name: (typeof ROUTING)[number]) =>
        maxDifference(redirected.stream(name).get(layer)!.data, reference.get(`${name}.${layer}`));
      expect(difference("router_logits")).toBeLessThan(1e-4);
      expect(difference("expert_ids")).toBe(0);
      expect(difference("expert_weights")).toBeLessThan(1e-5);
      expect(difference("expert_outputs")).toBeLessThan(1e-4);
      expect(reference.get(`expert_outputs.${layer}`).some((value) => Math.abs(value) > 0.1)).toBe(true);
    }
  });

  it("hidden states", async () => {
    const { hiddenStates } = await capture({}, ["hidden_states"]);
    expect([...hiddenStates.keys()]).toEqual(Array.from({ length: family.layers }, (_, i) => i));
    for (const [layer, { data }] of hiddenStates)
      expect(maxDifference(data, reference.get(`hidden_states.${layer}`))).toBeLessThan(1e-4);
  });

  it("attention, to later tokens too where it is not causal", () => {
    const tokens = reference.tokens.length;
    expect(redirected.attention.size).toBe(family.layers);
    for (const [layer, { data, dims }] of redirected.attention) {
      const expected = reference.get(`attention.${layer}`);
      const heads = expected.length / tokens ** 2;
      expect(dims).toEqual([tokens, heads, tokens]);
      const at = (query: number, head: number, key: number) => data[(query * heads + head) * tokens + key]!;
      const headsFirst = Float32Array.from(expected, (_, i) =>
        at(Math.floor(i / tokens) % tokens, Math.floor(i / tokens ** 2), i % tokens),
      );
      expect(maxDifference(headsFirst, expected)).toBeLessThan(1e-5);
      expect(at(0, 0, 1) > 0).toBe(!family.causal);
    }
  });

  it("redirect and copy give the same bits", () => {
    for (const name of redirected.streams)
      for (const [layer, { data }] of redirected.stream(name))
        expect(data).toEqual(copied.stream(name).get(layer)!.data);
    expect(redirected.outputs).toEqual(copied.outputs);
  });

  it.each(POOLED)("pooled by %s", async (pooling) => {
    const pooled = await capture({ pooling });
    expect(pooled.embedding).toEqual({ pooling, normalize: false });
    const { embedding } = pooled.outputs[0]!;
    expect(maxDifference(embedding!, reference.get(`pooled.${pooling}`))).toBeLessThan(1e-4);
  });

  it("pools by default as its file says, scaled to length 1", async () => {
    const llm = await load(embeddingGguf(family.name), { kvType: "f32", flashAttention: false, threads: 1 });
    try {
      const pooling = family.pooling ?? "mean";
      expect(llm.embedding).toEqual({ pooling, normalize: true });
      const [output] = (await llm.capture(reference.tokens)).outputs;
      const raw = reference.get(`pooled.${pooling}`) as Float32Array;
      const length = Math.hypot(...raw);
      expect(
        maxDifference(
          output!.embedding!,
          raw.map((value) => value / length),
        ),
      ).toBeLessThan(1e-4);
    } finally {
      await llm.close();
    }
  });

  it("tokenises text as Hugging Face does, with its special tokens", async () => {
    const llm = await load(embeddingGguf(family.name), EXACT);
    try {
      expect(await llm.encode(family.prompt)).toEqual(reference.tokens);
      for (const { text, ids } of tokenization[family.tokenizer]!)
        expect([...(await llm.tokenize(text))], JSON.stringify(text)).toEqual(ids);
    } finally {
      await llm.close();
    }
  });
});

/** Each of its own kind; `fixtures/embeddings/README.md` has the list. */
it("the list holds what the project promises", () => {
  expect(embeddingFamilies.map(({ name }) => name)).toEqual([
    ...["nomic_bert_moe", "nomic_bert", "bert", "xlm_roberta", "modern_bert", "gemma_embedding"],
    ...["qwen3_embedding", "t5_encoder", "t5", "llada_moe"],
  ]);
});
