import { describe, expect, it } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import type { LoadOptions } from "../../src/engines/index.ts";
import { load } from "../../src/run/load.ts";
import type { CaptureOptions } from "../../src/run/run-options.ts";
import { ggufOf, maxDifference } from "../fixtures/families.ts";

const LENGTHS = [61, 7, 33, 300, 1];
/** Prompts of unequal length, the longest beyond the 256 cells that llama.cpp counts its cache in. */
const prompts = LENGTHS.map((length, i) =>
  Array.from({ length }, (_, j) => 3 + ((i * 97 + j * 31 + ((j * j) % 17)) % 250)),
);
const LONGEST = Math.max(...LENGTHS);
/** Other batch shapes take other kernels: sums differ in their last bits, and layers amplify that. */
const TOLERANCE = 1e-4;

async function capture(
  family: string,
  options: CaptureOptions = {},
  loading: LoadOptions = {},
  which: readonly number[][] = prompts,
): Promise<Capture> {
  const llm = await load(ggufOf(family), { kvType: "f32", threads: 1, contextSize: 512, ...loading });
  try {
    return await llm.capture(which, { streams: ["attention"], ...options });
  } finally {
    await llm.close();
  }
}

/** Plain, MLA, sinks with sliding windows, chunks, one head, layers without attention between. */
const KINDS = ["qwen3_moe", "deepseek_v2", "gpt_oss", "llama4", "dbrx", "lfm2_moe"];

describe.each(KINDS)("%s", (name) => {
  it("samples of unequal length have the attention that each has alone, in chunks too", async () => {
    const together = await capture(name);
    const chunked = await capture(name, {}, { batchSize: 48 });
    expect([...chunked.attention.keys()]).toEqual([...together.attention.keys()]);
    for (const sample of [1, 3]) {
      const alone = await capture(name, {}, {}, [prompts[sample]!]);
      const tokens = LENGTHS[sample]!;
      for (const [layer, { dims, data }] of together.sample(sample).attention) {
        const heads = dims[1]!;
        expect(dims).toEqual([tokens, heads, LONGEST]);
        expect(alone.attention.rowDims(layer)).toEqual([heads, tokens]);
        const lone = alone.attention.get(layer)!.data;
        const parts = chunked.sample(sample).attention.get(layer)!.data;
        expect(maxDifference(parts, data)).toBeLessThan(TOLERANCE);
        for (let row = 0; row < tokens * heads; row++) {
          const keys = data.subarray(row * LONGEST, (row + 1) * LONGEST);
          const position = Math.floor(row / heads);
          expect(keys.subarray(position + 1).every((weight) => weight === 0)).toBe(true);
          expect(
            maxDifference(keys.subarray(0, tokens), lone.subarray(row * tokens, (row + 1) * tokens)),
          ).toBeLessThan(TOLERANCE);
        }
      }
    }
  });
});

it("weights of a row add up to 1, and the model's output is that of a run without flash attention", async () => {
  const options = { maxTokens: 6, ignoreEos: true };
  const captured = await capture("qwen3_moe", options);
  const keys = LONGEST + 5;
  for (const { dims, data } of captured.attention.values()) {
    expect(dims).toEqual([LENGTHS.reduce((sum, n) => sum + n, 0) + 5 * LENGTHS.length, 2, keys]);
    for (let from = 0; from < data.length; from += keys)
      expect(data.subarray(from, from + keys).reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 5);
  }
  const stepwise = { flashAttention: false, parallel: 1 };
  const plain = await capture("qwen3_moe", { ...options, streams: ["router_logits"] }, stepwise);
  expect(captured.outputs).toEqual(plain.outputs);
});

it("generated rows have the attention of the same text as a prompt, with strategy copy too", async () => {
  const [prompt] = prompts;
  const generated = await capture("qwen3_moe", { maxTokens: 20, ignoreEos: true }, {}, [prompt!]);
  const text = [...prompt!, ...generated.outputs[0]!.tokens.slice(0, 19)];
  const replay = await capture("qwen3_moe", {}, { strategy: "copy" }, [text]);
  for (const [layer, { data }] of generated.attention)
    expect(maxDifference(data, replay.attention.get(layer)!.data)).toBeLessThan(TOLERANCE);
});

it("top keys are the largest weights, falling, with their positions", async () => {
  const full = await capture("qwen3_moe");
  const top = await capture("qwen3_moe", { attention: { topKeys: 9 } });
  expect(top.streams).toEqual(["attention", "attention_keys"]);
  for (const [layer, { data: weights, dims }] of top.attention) {
    const positions = top.attentionKeys.get(layer)!;
    expect([positions.type, positions.dims]).toEqual(["int32", dims]);
    expect(dims).toEqual([full.rows.length, 2, 9]);
    const all = full.attention.get(layer)!.data;
    for (let row = 0; row < dims[0]! * 2; row++) {
      const keys = [...all.subarray(row * LONGEST, (row + 1) * LONGEST)];
      const many = Math.min(9, full.rows.position[row >> 1]! + 1);
      const at = [...positions.data.subarray(row * 9, (row + 1) * 9)];
      const found = [...weights.subarray(row * 9, (row + 1) * 9)];
      expect(found).toEqual([...keys.sort((a, b) => b - a).slice(0, many), ...Array(9 - many).fill(0)]);
      expect(at.slice(many)).toEqual(Array(9 - many).fill(-1));
      expect(at.slice(0, many).map((key) => all[row * LONGEST + key])).toEqual(found.slice(0, many));
      expect(new Set(at.slice(0, many)).size).toBe(many);
    }
  }
});

it("keeps the last queries and the layers that are asked for", async () => {
  const full = await capture("qwen3_moe");
  const last = await capture("qwen3_moe", { select: { last: 2 }, layers: [-1] });
  expect([...last.attention.keys()]).toEqual([2]);
  expect(last.rows.length).toBe(2 * 4 + 1);
  const expected = LENGTHS.flatMap((length, sample) => {
    const { data, dims } = full.sample(sample).attention.get(2)!;
    return [...data.subarray(Math.max(0, length - 2) * dims[1]! * dims[2]!)];
  });
  expect(maxDifference(last.attention.get(2)!.data, expected)).toBeLessThan(TOLERANCE);
});

it("is what it was on a model that ran something else before and after", async () => {
  const llm = await load(ggufOf("qwen3_moe"), { threads: 1, contextSize: 512 });
  const logits = async () => (await llm.capture(prompts)).routerLogits.get(2)!.data;
  const attention = async () =>
    (await llm.capture(prompts, { streams: ["attention"] })).attention.get(2)!.data;
  const [plain, first] = [await logits(), await attention()];
  expect(await logits()).toEqual(plain);
  expect(await attention()).toEqual(first);
  await llm.close();
});

describe("what cannot be is refused", () => {
  it("attention from a quantised cache, and the model stays usable", async () => {
    const llm = await load(ggufOf("qwen3_moe"), { kvType: "q8_0", threads: 1, contextSize: 512 });
    const refused = llm.capture("abc", { streams: ["attention"] });
    await expect(refused).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(refused).rejects.toThrow("q8_0");
    expect((await llm.capture("abc")).rows.length).toBeGreaterThan(0);
    await llm.close();
  });

  it("streams and options that do not go together", async () => {
    const llm = await load(ggufOf("lfm2_moe"), { threads: 1, contextSize: 512 });
    const code = (options: CaptureOptions) =>
      llm.capture("abc", options).then(
        () => null,
        (error) => [error.code, error.message],
      );
    expect(await code({ streams: ["attention_keys"] })).toEqual([
      "INVALID_ARGUMENT",
      expect.stringContaining("topKeys: 8"),
    ]);
    expect(await code({ attention: { topKeys: 4 } })).toEqual([
      "INVALID_ARGUMENT",
      expect.stringContaining("name it in streams"),
    ]);
    expect(await code({ streams: ["attention"], attention: { topKeys: 0 } })).toEqual([
      "INVALID_ARGUMENT",
      expect.stringContaining("must be a whole number from 1"),
    ]);
    expect(await code({ streams: ["attention"], layers: [0] })).toEqual([
      "UNKNOWN_LAYER",
      "layer 0 has none of attention; attention is in layers 1, 3",
    ]);
    expect(await code({ streams: ["activation:nonsense"] })).toEqual([
      "UNKNOWN_STREAM",
      expect.stringContaining("--tensors"),
    ]);
    expect(await code({ streams: ["activation:../../etc"] })).toEqual([
      "UNKNOWN_STREAM",
      expect.stringContaining("unknown stream"),
    ]);
    await llm.close();
  });

  it("tensors without a row a token", async () => {
    const llm = await load(ggufOf("qwen3_next"), { flashAttention: false, threads: 1, contextSize: 512 });
    const refused = (name: string) => llm.capture("abc", { streams: [`activation:${name}`] });
    await expect(refused("conv_states")).rejects.toThrow("it has no row for each token");
    await expect(refused("kq")).rejects.toThrow("changes with what the cache holds");
    await expect(refused("kq_soft_max")).rejects.toThrow("the stream attention has it");
    await expect(refused("gate")).rejects.toThrow("name layers that are alike");
    const gate = await llm.capture("abc", { streams: ["activation:gate"], layers: [1] });
    expect(gate.activation("gate").rowDims(1)).toEqual([2, 32]);
    await llm.close();
  });
});
