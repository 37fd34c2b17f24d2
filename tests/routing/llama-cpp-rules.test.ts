import { describe, expect, it, test } from "vitest";
import { LLAMA_VERSION } from "../../src/engines/llama/native/library.ts";
import type { ArchitectureRule, KnownRule } from "../../src/gating/architecture-rule.ts";
import { gatingOf } from "../../src/gating/architectures.ts";
import { LLAMA_CPP_RULES, RULES_VERSION } from "../../src/gating/llama-cpp-rules.ts";
import { readCall } from "../../tools/llama-gating/read-calls.mjs";
import { readLoader } from "../../tools/llama-gating/read-loader.mjs";
import { readSource } from "../../tools/llama-gating/read-source.mjs";

/** The source of the llama.cpp that the prebuilt one was made from; fixtures/README.md says where to get it. */
const SOURCE = process.env.MOESCOPE_LLAMA_CPP;

const rules = Object.entries(LLAMA_CPP_RULES);
const known = rules.flatMap(([name, rule]): [string, KnownRule][] => ("score" in rule ? [[name, rule]] : []));

/**
 * What each architecture's graph builder passes to `build_moe_ffn`, read by a person: score (`=default` where the file
 * says it, `!` where it must), n(ormalised) or r(aw) or f(ile), scale f(ile) or number, b(ias).
 */
const READ_BY_EYE = `
afmoe =sigmoid f f b | arctic softmax n 1 | bailingmoe softmax f f | bailingmoe2 ! f f b | bailingmoe3 ! f f b
bert softmax r 1 | cohere2moe =sigmoid f f | dbrx softmax n 1 | deepseek softmax r f | deepseek2 =size f f b
deepseek2-ocr =softmax f f b | deepseek32 ! f f b | deepseek4 ! f f b | dots1 ! f f b | dots3note ! f f b
ernie4_5-moe softmax n 1 b | exaone-moe ! f f b | gemma4 softmax n 1 | glm-dsa =sigmoid f f b | glm4moe =sigmoid f f b
gpt-oss softmax_topk r 1 | granite softmax n 1 | granite_swa softmax n 1 | granitehybrid softmax n 1
granitemoe softmax n 1 | grok softmax n 1 | grovemoe softmax n 1 | hunyuan-moe softmax n 1 | hy_v3 =sigmoid f f b
hy_v4 ! f f b | jamba softmax r 1 | jina-bert-v2 softmax r 1 | jina-bert-v3 softmax r 1 | kimi-k3 ! f f b
kimi-linear ! n f b | laguna =sigmoid f f b | lfm2 ! n 1 b | lfm2moe ! n 1 b | llada-moe softmax r 1 | llama softmax n 1
llama-embed softmax n 1 | llama4 sigmoid r 1 | maple softmax n 1 | mellum softmax n 1 | mimo2 sigmoid n 1 b
minicpm softmax n 1 | minimax-01 softmax n 1 b | minimax-m2 ! n 1 b | minimax-m3 ! f f b | mistral3 softmax n 1
mistral4 =size f f b | nemotron_h sigmoid f f b | nemotron_h_moe sigmoid f f b | nomic-bert softmax r 1
nomic-bert-moe softmax r 1 | olmoe softmax r 1 | phi3 softmax n 1 | phimoe softmax n 1 | qwen2moe softmax r 1
qwen35moe softmax n 1 | qwen3moe softmax n 1 | qwen3next softmax n 1 | qwen3vlmoe softmax n 1 | qwen4exp softmax n 1
rnd1 softmax n 1 | smallthinker ! n 1 | step35 =sigmoid f f b`;

const byEye = READ_BY_EYE.trim()
  .split(/\s*[|\n]\s*/)
  .map((entry) => entry.split(" ") as [name: string, ...facts: string[]]);

function inWords({ score, scoreDefault, normalize, scale, selectionBias }: KnownRule): string[] {
  const fallback = typeof scoreDefault === "object" && scoreDefault !== null ? "size" : scoreDefault;
  return [
    score !== "file" ? score : fallback === null ? "!" : `=${fallback}`,
    normalize === "file" ? "f" : normalize ? "n" : "r",
    scale === "file" ? "f" : `${scale}`,
    ...(selectionBias ? ["b"] : []),
  ];
}

describe("the rules of llama.cpp's architectures", () => {
  test.each(byEye)("%s as a person reads it", (name, ...facts) => {
    expect(inWords(LLAMA_CPP_RULES[name] as KnownRule)).toEqual(facts);
  });

  it("are of no other architecture, but for those that could not be read", () => {
    expect(known.map(([name]) => name)).toEqual(byEye.map(([name]) => name).sort());
    const unknown = rules.filter(([, rule]) => "unknown" in rule);
    expect(unknown.map(([name]) => name)).toEqual([
      "dflash",
      "ernie4_5",
      "graniteswitch",
      "paddleocr",
      "refact",
    ]);
    for (const [, rule] of unknown) expect((rule as { unknown: string }).unknown).toMatch(/^its /);
  });

  it("have what only some do", () => {
    const having = (key: keyof KnownRule) =>
      known.filter(([, rule]) => rule[key]).map(([name, rule]) => [name, rule[key]]);
    expect(having("chosenBy")).toEqual([
      ["grovemoe", "sigmoid"],
      ["llama4", "logits"],
    ]);
    expect(having("weighted")).toEqual([["llama4", "inputs"]]);
    expect(having("byToken")).toEqual([["deepseek4", "hash_layer_count"]]);
    expect(having("routerBias")).toEqual([["gpt-oss", true]]);
    expect(having("topK").map(([name]) => name)).toEqual(["nemotron_h", "nemotron_h_moe"]);
    expect(having("beside")).toEqual([["grovemoe", ["ffn_up_chexps"]]]);
    expect(having("logits").map(([name]) => name)).toEqual([
      ...["gemma4", "grovemoe", "kimi-k3", "nemotron_h", "nemotron_h_moe", "smallthinker"],
    ]);
  });

  it("are those of the llama.cpp that runs", () => {
    expect(RULES_VERSION).toBe(LLAMA_VERSION);
  });

  it.skipIf(!SOURCE)("are what the script reads from the source (needs MOESCOPE_LLAMA_CPP)", () => {
    const { version, rules: read, calls, draft } = readSource(SOURCE!);
    expect(read).toEqual(LLAMA_CPP_RULES);
    expect(version).toBe(RULES_VERSION);
    // No call is left out: each is some architecture's, or only drafts run it.
    const accounted = new Set([...rules.flatMap(([, { from }]) => from), ...draft]);
    expect(calls.filter((place) => !accounted.has(place))).toEqual([]);
    expect(calls).toHaveLength(69);
  });
});

describe("gatingOf", () => {
  const keys = { layers: 4, vocabSize: 100 };
  const layer = { selectionBias: true, byToken: false };

  it("is null for what is not known", () => {
    for (const architecture of ["dflash", "ernie4_5", "something-new", "constructor", ""])
      expect(gatingOf(architecture, keys, layer)).toBe(null);
    // llama.cpp has no score function for these without the key.
    for (const architecture of ["dots1", "hy_v4", "smallthinker"])
      expect(gatingOf(architecture, keys, layer)).toBe(null);
    expect(gatingOf("dots1", { ...keys, gatingFunction: 9 }, layer)).toBe(null);
  });

  it("takes from the file only what the loader reads", () => {
    const stated = { ...keys, gatingFunction: 2, weightsNorm: true, weightsScale: 2.5 };
    expect(gatingOf("olmoe", stated, layer)).toMatchObject({
      ...{ score: "softmax", normalize: false, scale: 1, selectionBias: false },
    });
    expect(gatingOf("deepseek", stated, layer)).toMatchObject({ normalize: false, scale: 2.5 });
    expect(gatingOf("deepseek32", stated, layer)).toMatchObject({
      ...{ score: "sigmoid", normalize: true, scale: 2.5, selectionBias: true },
    });
  });

  it("tells GLM-4.7-Lite's files by their size, as llama.cpp does", () => {
    expect(gatingOf("deepseek2", keys, layer)?.score).toBe("softmax");
    expect(gatingOf("deepseek2", { ...keys, layers: 47, vocabSize: 154880 }, layer)?.score).toBe("sigmoid");
  });

  it("differs by layer where it does", () => {
    const stated = { ...keys, gatingFunction: 4, groupCount: 4, groupsUsed: 2 };
    expect(gatingOf("deepseek4", stated, { selectionBias: true, byToken: true })).toMatchObject({
      ...{ chosenBy: "token_id", selectionBias: false, groups: null },
    });
    expect(gatingOf("deepseek4", stated, layer)).toMatchObject({ chosenBy: "scores", selectionBias: true });
    expect(gatingOf("deepseek4", stated, { ...layer, selectionBias: false })?.selectionBias).toBe(false);
  });
});

describe("the script lists what it cannot read", () => {
  const LAYER = "model.layers[il]";
  const call = (changes: Record<number, string> = {}) => {
    const args = [
      ...["cur", `${LAYER}.ffn_gate_inp`, `${LAYER}.ffn_up_exps`, `${LAYER}.ffn_gate_exps`],
      ...[`${LAYER}.ffn_down_exps`, "nullptr", "n_expert", "n_expert_used", "LLM_FFN_SILU"],
      ...["true", "hparams.expert_weights_scale", "LLAMA_EXPERT_GATING_FUNC_TYPE_SOFTMAX", "il"],
    ];
    for (const [i, value] of Object.entries(changes)) args[Number(i)] = value;
    return `build_moe_ffn(${args.join(", ")});`;
  };
  const read = (text: string) => readCall(text, text.lastIndexOf("build_moe_ffn(") + 13, text);

  it("and reads what it can", () => {
    expect(read(call())).toMatchObject({ score: "softmax", normalize: true, scale: "file", topK: "first" });
    const given = `ggml_tensor * probs = build_lora_mm(${LAYER}.ffn_gate_inp, cur); ${call({ 1: "nullptr", 13: "probs" })}`;
    expect(read(given)).toMatchObject({ logits: "before" });
  });

  test.each<[string, Record<number, string>]>([
    ["a router that is none", { 1: "model.tok_embd" }],
    ["a bias of another kind", { 5: "pick_bias(il)" }],
    ["a number of experts it does not know", { 6: "n_expert / 2" }],
    ["a top-k it does not know", { 7: "hparams.top_k(il)" }],
    ["a normalisation that is computed", { 9: "il > 3" }],
    ["a scale that is computed", { 10: "scale(il)" }],
    ["a score function that is computed", { 11: "il < 2 ? A : B" }],
    ["a new score function", { 11: "LLAMA_EXPERT_GATING_FUNC_TYPE_TANH" }],
    ["scores from elsewhere", { 1: "nullptr", 13: "probs" }],
    ["another form of the call", { 8: "act(il)" }],
  ])("%s", (_, changes) => {
    expect(() => read(call(changes))).toThrow(expect.objectContaining({ name: "Unreadable" }));
  });

  test.each([
    ["another default", "if (x) { hparams.expert_gating_func = LLAMA_EXPERT_GATING_FUNC_TYPE_SIGMOID; }"],
    ["normalisation that is set", "hparams.expert_weights_norm = true;"],
    [
      "a key that is read only sometimes",
      "if (x) { ml.get_key(LLM_KV_EXPERT_WEIGHTS_NORM, hparams.expert_weights_norm); }",
    ],
    ["a loader that calls another", "llama_model_llama::load_arch_hparams(ml);"],
  ])("a loader with %s", (_, body) => {
    expect(() => readLoader(`{ ${body} }`, new Map())).toThrow(
      expect.objectContaining({ name: "Unreadable" }),
    );
  });

  it("never as a rule", () => {
    const rule: ArchitectureRule = LLAMA_CPP_RULES.dflash!;
    expect("score" in rule).toBe(false);
  });
});
