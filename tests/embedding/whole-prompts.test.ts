import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import { CONTROL } from "../../src/engines/llama/host/protocol.ts";
import { modelInfo, readHeader } from "../../src/engines/llama/model/gguf.ts";
import { makeAbort } from "../../src/engines/llama/native/abort.ts";
import { hostOptions } from "../../src/engines/llama/options.ts";
import { NativeTokens } from "../../src/engines/llama/run/native-tokens.ts";
import { SAMPLE } from "../../src/engines/llama/run/probe-sample.ts";
import { Session } from "../../src/engines/llama/run/session.ts";
import type { CaptureOptions } from "../../src/run/language-model.ts";
import { type LoadOptions, load } from "../../src/run/load.ts";
import type { Prompt } from "../../src/run/prompts/prompt-object.ts";
import { withKey } from "../fixtures/edited-gguf.ts";
import { embeddingFamilies, embeddingGguf, embeddingReference } from "../fixtures/embedding-families.ts";
import { ggufOf, maxDifference } from "../fixtures/families.ts";

const EXACT = { kvType: "f32", flashAttention: false, threads: 1, contextSize: 512 } as const;
const folder = mkdtempSync(join(tmpdir(), "moescope-embedding-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** As many prompts as make several steps, none a multiple of a step. */
const prompts = (longest: number, vocabulary: number) =>
  Array.from({ length: 9 }, (_, i) =>
    Array.from({ length: longest - 3 * i }, (_, j) => 5 + ((37 * i + 11 * j) % (vocabulary - 5))),
  );

async function capture(
  path: string,
  which: Prompt | readonly Prompt[],
  loading: LoadOptions = {},
  options: CaptureOptions = {},
): Promise<Capture> {
  const llm = await load(path, { ...EXACT, ...loading } as LoadOptions);
  try {
    return await llm.capture(which, options);
  } finally {
    await llm.close();
  }
}

/** Largest difference between all that is captured of a sample alone and what it is among others. */
function difference(alone: Capture, among: Capture, sample: number): number {
  const pooled = maxDifference(alone.outputs[0]!.embedding!, among.outputs[sample]!.embedding!);
  const rows = among.sample(sample);
  const streams = alone.streams.flatMap((name) =>
    [...alone.stream(name)].map(([layer, { data }]) =>
      maxDifference(data, rows.stream(name).get(layer)!.data),
    ),
  );
  return Math.max(pooled, ...streams);
}

const bidirectional = embeddingFamilies.filter(({ causal }) => !causal);

describe.each(bidirectional)(
  "$name, whose attention is not causal",
  ({ name, moeLayers, geluDifference }) => {
    // BERT has learned 64 positions.
    const all = prompts(60, 155);
    const streams = [
      ...(moeLayers.length > 0 ? ["router_logits", "expert_ids", "expert_weights"] : []),
      "hidden_states",
    ];
    const loading = { contextSize: 64 };

    // With a GELU prompts run one at a time, and the bits are the same.
    const gelu = geluDifference > 0;

    it("gives the same for many prompts and one by one, whatever a step holds", async () => {
      const room = gelu ? loading : { contextSize: 512 };
      const together = await capture(embeddingGguf(name), all, room, { streams });
      const chunked = await capture(embeddingGguf(name), all, { ...loading, batchSize: 32 }, { streams });
      for (const [i, prompt] of all.entries()) {
        const single = await capture(embeddingGguf(name), prompt, { ...loading, parallel: 1 }, { streams });
        expect(difference(single, together, i)).toBeLessThan(gelu ? Number.MIN_VALUE : 1e-5);
        expect(difference(single, chunked, i)).toBe(0);
      }
      expect([...together.rows.position.subarray(0, 60)]).toEqual([...all[0]!.keys()]);
      expect([...together.rows.tokenId.subarray(0, 60)]).toEqual(all[0]);
    });

    it("keeps attention, selections and largest keys as they are alone", async () => {
      const options = { streams: ["attention"], select: { last: 3 } };
      const whole = await capture(embeddingGguf(name), all.slice(0, 2), loading, { streams: ["attention"] });
      const last = await capture(embeddingGguf(name), all.slice(0, 2), loading, options);
      const top = await capture(embeddingGguf(name), all.slice(0, 2), loading, {
        ...options,
        attention: { topKeys: 4 },
      });
      for (const layer of whole.attention.keys())
        for (const sample of [0, 1]) {
          const { data, dims } = whole.sample(sample).attention.get(layer)!;
          const [rows, heads, keys] = dims as [number, number, number];
          const kept = data.subarray((rows - 3) * heads * keys);
          expect(last.sample(sample).attention.get(layer)!.data).toEqual(kept);
          // A prompt's keys are its own tokens, those after the row too; behind the shorter prompt there are none.
          expect(kept.subarray(rows, keys).every((weight) => weight === 0)).toBe(true);
          const largest = [...kept.subarray(0, keys)].sort((a, b) => b - a).slice(0, 4);
          expect([...top.sample(sample).attention.get(layer)!.data.subarray(0, 4)]).toEqual(largest);
        }
    });

    it("refuses to generate, in words", async () => {
      const llm = await load(embeddingGguf(name), EXACT.contextSize ? { ...EXACT, contextSize: 64 } : EXACT);
      try {
        expect(llm.task).toBe("embed");
        const refusal = {
          code: "INVALID_ARGUMENT",
          message: expect.stringContaining("attention is not causal"),
        };
        await expect(llm.capture([5, 6], { maxTokens: 1 })).rejects.toMatchObject(refusal);
        const stream = llm.stream([5, 6], { maxTokens: 1 });
        await expect(stream.next()).rejects.toMatchObject(refusal);
        // Prompts alone are streamed.
        const seen = [];
        for await (const { position } of llm.stream([5, 6, 7])) seen.push(position);
        expect(seen).toEqual([0, 1, 2]);
      } finally {
        await llm.close();
      }
      await expect(
        load(embeddingGguf(name), { ...EXACT, contextSize: 64, task: "generate" }),
      ).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        message: expect.stringContaining("cannot generate: its attention is not causal"),
      });
    });

    it("makes the embedding that llama.cpp makes without a capture, bit for bit", async () => {
      const path = embeddingGguf(name);
      const options = { ...EXACT, contextSize: 64, normalize: false } as const;
      const tokens = embeddingReference(name).tokens;
      for (const flashAttention of [false, true]) {
        const [bare, captured] = [
          await bareEmbedding(path, { ...options, flashAttention }, tokens),
          await capture(path, tokens, { ...options, flashAttention }, { streams }),
        ];
        expect(captured.outputs[0]!.embedding).toEqual(bare);
      }
    });
  },
);

/** What llama.cpp's own calls give, with nothing tapped. */
async function bareEmbedding(path: string, options: object, tokens: Int32Array): Promise<Float32Array> {
  const header = await readHeader(path);
  const session = Session.open({
    ...hostOptions(header, modelInfo(header, path), options),
    control: new SharedArrayBuffer(CONTROL.bytes),
    abort: makeAbort(),
  });
  try {
    const batch = new NativeTokens(session.stepSize, 1);
    const running = { ...SAMPLE, tokens, length: tokens.length };
    batch.fill([{ running, from: 0, count: tokens.length }], "all");
    expect(session.compute(batch.batch)).toBe(0);
    return session.embedding(0);
  } finally {
    session.close();
  }
}

describe("a causal embedder", () => {
  const path = embeddingGguf("qwen3_embedding");
  const all = prompts(100, 280);
  const streams = ["hidden_states", "activation:ffn_inp"];

  it("pools the last token of prompts in chunks and in company as of prompts alone", async () => {
    const together = await capture(path, all, {}, { streams });
    const chunked = await capture(path, all, { batchSize: 32 }, { streams });
    for (const [i, prompt] of all.entries()) {
      const single = await capture(path, prompt, { parallel: 1 }, { streams });
      expect(difference(single, together, i)).toBeLessThan(1e-5);
      expect(difference(single, chunked, i)).toBeLessThan(1e-5);
    }
  });

  it("pools the mean of whole prompts, longer than a step too", async () => {
    const together = await capture(path, all, { pooling: "mean" }, { streams });
    const chunked = await capture(path, all, { pooling: "mean", batchSize: 32 }, { streams });
    for (const [i, prompt] of all.entries()) {
      const single = await capture(path, prompt, { pooling: "mean", parallel: 1 }, { streams });
      expect(difference(single, together, i)).toBeLessThan(1e-5);
      expect(difference(single, chunked, i)).toBe(0);
    }
  });

  it("pools whatever the sizes of context, step and company are", async () => {
    const alone = await capture(path, all[0]!, { pooling: "mean", parallel: 1 });
    for (const sizes of [
      { contextSize: 250, batchSize: 7, parallel: 3 },
      { contextSize: 511, batchSize: 511, parallel: 5 },
      { contextSize: 101, batchSize: 1 },
      { contextSize: 257, batchSize: 256, parallel: 200 },
    ]) {
      const { outputs } = await capture(path, [all[0]!, all[1]!], { pooling: "mean", ...sizes });
      expect(maxDifference(outputs[0]!.embedding!, alone.outputs[0]!.embedding!)).toBeLessThan(1e-5);
    }
  });

  it("generates when it is asked to", async () => {
    const generated = await capture(path, all[0]!, { task: "generate" }, { maxTokens: 3 });
    expect(generated.outputs[0]!.tokens.length).toBeGreaterThan(0);
    expect(generated.outputs[0]!.embedding).toBeUndefined();
    expect(generated.embedding).toBeNull();
    await expect(capture(path, all[0]!, {}, { maxTokens: 3 })).rejects.toMatchObject({
      message: expect.stringContaining('load it with task "generate"'),
    });
  });
});

describe("a decoder whose file says that its attention is not causal", () => {
  const path = join(folder, "bidirectional.gguf");
  const reference = embeddingReference("qwen3_embedding");
  withKey(embeddingGguf("qwen3_embedding"), path, "qwen3.attention.causal", false);

  it("runs whole prompts in both directions, again and again", async () => {
    const llm = await load(path, { ...EXACT, pooling: "mean", normalize: false, batchSize: 8 });
    try {
      expect(llm.task).toBe("embed");
      for (const streams of [["hidden_states"], ["activation:ffn_inp"], ["hidden_states"]]) {
        const captured = await llm.capture(reference.tokens, { streams });
        const { embedding } = captured.outputs[0]!;
        expect(maxDifference(embedding!, reference.get("bidirectional.pooled.mean"))).toBeLessThan(1e-4);
        if (streams[0] !== "hidden_states") continue;
        for (const [layer, { data }] of captured.hiddenStates)
          expect(maxDifference(data, reference.get(`bidirectional.hidden_states.${layer}`))).toBeLessThan(
            1e-4,
          );
      }
      await expect(llm.capture("x", { maxTokens: 1 })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    } finally {
      await llm.close();
    }
  });

  it("has attention to later tokens", async () => {
    const { attention } = await capture(path, reference.tokens, {}, { streams: ["attention"] });
    for (const { data, dims } of attention.values()) {
      const [rows, heads, keys] = dims as [number, number, number];
      for (let row = 0; row < rows * heads; row++) {
        const weights = data.subarray(row * keys, (row + 1) * keys);
        expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 5);
        expect(weights.every((weight) => weight > 0)).toBe(true);
      }
    }
  });
});

describe("a model made to generate", () => {
  const path = ggufOf("qwen3_moe");

  it("gives embeddings when it is asked to, the last token's by default", async () => {
    const tokens = [5, 6, 7, 8];
    const plain = await capture(path, tokens, {}, { streams: ["router_logits", "hidden_states"] });
    expect(plain.embedding).toBeNull();
    const loading = { task: "embed", normalize: false } as const;
    const embed = await capture(path, tokens, loading, { streams: ["router_logits", "hidden_states"] });
    expect(embed.embedding).toEqual({ pooling: "last", normalize: false });
    for (const layer of plain.routerLogits.keys())
      expect(embed.routerLogits.get(layer)!.data).toEqual(plain.routerLogits.get(layer)!.data);
    // The final norm of the last row: its values are the row's, each times a weight.
    expect(embed.outputs[0]!.embedding).toHaveLength(32);
    const bare = await bareEmbedding(path, { ...EXACT, ...loading }, Int32Array.from(tokens));
    expect(embed.outputs[0]!.embedding).toEqual(bare);
  });
});

describe("what does not fit", () => {
  it("a prompt longer than the context, or than the learned positions", async () => {
    const path = embeddingGguf("bert");
    await expect(capture(path, prompts(65, 155)[0]!, { contextSize: 64 })).rejects.toMatchObject({
      code: "CONTEXT_OVERFLOW",
      message: expect.stringContaining("load it with a larger contextSize"),
    });
    await expect(load(path, { ...EXACT, contextSize: 65 })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("64 positions"),
    });
  });

  it.each<[string, object, string]>([
    ["an unknown task", { task: "classify" }, "task must be one of generate, embed"],
    ["an unknown pooling", { pooling: "median" }, "pooling must be one of none, mean, cls, last, rank"],
    ["a classifier that is not there", { pooling: "rank" }, "needs a classifier"],
  ])("%s", async (_, options, words) => {
    await expect(
      load(embeddingGguf("bert"), { threads: 1, ...options } as LoadOptions),
    ).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(words),
    });
  });

  it("pooling of a model that generates", async () => {
    await expect(load(ggufOf("qwen3_moe"), { threads: 1, pooling: "mean" })).rejects.toMatchObject({
      message: expect.stringContaining('set task to "embed"'),
    });
  });

  it("no pooling: outputs have no embedding", async () => {
    const none = await capture(embeddingGguf("bert"), [5, 6], { contextSize: 64, pooling: "none" });
    expect(none.embedding).toBeNull();
    expect(none.outputs[0]).not.toHaveProperty("embedding");
  });
});
