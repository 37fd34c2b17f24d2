import { readFileSync } from "node:fs";
import { GGMLQuantizationType } from "@huggingface/gguf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { readHeader } from "../../src/engines/llama/model/gguf.ts";
import * as hs from "../../src/hs.ts";
import type { LanguageModel } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import { embeddingGguf } from "../fixtures/embedding-families.ts";
import { ggufOf, maxDifference } from "../fixtures/families.ts";
import { capturePath } from "../store/folder.ts";

const ABC = [97, 98, 99, 100, 101, 102, 103];
const EXACT = { kvType: "f32", flashAttention: false, threads: 1, contextSize: 512 } as const;
const OPTIONS = { maxTokens: 6, ignoreEos: true, temperature: 0.8, seed: 3, streams: [] } as const;

/** The weights of the model's end: of the norm, and of the product behind it, `[vocabulary, hiddenSize]`,
 * which here is that of the embeddings. */
async function outputWeights(path: string) {
  const { parts, metadata } = await readHeader(path);
  const { tensors, dataOffset } = parts[0]!;
  const file = readFileSync(path);
  const floats = (name: string) => {
    const { shape, offset, dtype } = tensors.find((tensor) => tensor.name === name)!;
    expect(dtype).toBe(GGMLQuantizationType.F32);
    const from = file.byteOffset + Number(dataOffset + offset);
    const size = Number(shape.reduce((product, n) => product * n, 1n));
    return new Float32Array(file.buffer.slice(from, from + 4 * size));
  };
  const epsilon = metadata["qwen3moe.attention.layer_norm_rms_epsilon"] as number;
  return { norm: floats("output_norm.weight"), product: floats("token_embd.weight"), epsilon };
}

/** The logits of a hidden state behind the last layer: its RMS norm times the output matrix. */
function logitsOf(
  hidden: Float32Array,
  { norm, product, epsilon }: Awaited<ReturnType<typeof outputWeights>>,
): number[] {
  const scale = 1 / Math.sqrt(hidden.reduce((sum, x) => sum + x * x, 0) / hidden.length + epsilon);
  const normed = hidden.map((x, i) => x * scale * norm[i]!);
  return Array.from({ length: product.length / hidden.length }, (_, token) =>
    normed.reduce((sum, x, i) => sum + x * product[token * hidden.length + i]!, 0),
  );
}

/** Log-softmax of a row at a token, in double precision. */
function logSoftmax(row: ArrayLike<number>, token: number): number {
  const logits = Array.from(row);
  const most = Math.max(...logits);
  return logits[token]! - most - Math.log(logits.reduce((sum, x) => sum + Math.exp(x - most), 0));
}

describe("log-probabilities", () => {
  let llm: LanguageModel;
  beforeAll(async () => {
    llm = await load(ggufOf("qwen3_moe"), { ...EXACT, batchSize: 4 });
  });
  afterAll(() => llm.close());

  test("are the log-softmax of the logits, in chunks and beside other samples", async () => {
    const weights = await outputWeights(ggufOf("qwen3_moe"));
    const capture = await llm.capture([ABC, ABC.slice(2)], {
      ...OPTIONS,
      logprobs: true,
      promptLogprobs: true,
      streams: ["hidden_states"],
    });
    for (const [sample, prompt] of [ABC, ABC.slice(2)].entries()) {
      const { tokens, logprobs, promptLogprobs } = capture.outputs[sample]!;
      const { data, dims } = capture.sample(sample).hiddenStates.get(llm.info.layers - 1)!;
      const all = [...prompt, ...tokens];
      const width = dims[1]!;
      const expected = all
        .slice(1)
        .map((token, i) => logSoftmax(logitsOf(data.slice(i * width, (i + 1) * width), weights), token));
      expect(promptLogprobs).toHaveLength(prompt.length);
      expect(logprobs).toHaveLength(tokens.length);
      expect(promptLogprobs![0]).toBeNaN();
      expect(maxDifference([...promptLogprobs!.slice(1), ...logprobs!], expected)).toBeLessThan(1e-5);
    }
  });

  test("of what was generated are those of the same tokens in a prompt", async () => {
    const [drawn] = (await llm.capture([ABC], { ...OPTIONS, logprobs: true })).outputs;
    const again = await llm.capture([[...ABC, ...drawn!.tokens]], { promptLogprobs: true, streams: [] });
    const [{ promptLogprobs, logprobs }] = again.outputs as never as [(typeof again.outputs)[0]];
    expect(logprobs).toBeUndefined();
    expect(maxDifference(promptLogprobs!.slice(ABC.length), drawn!.logprobs!)).toBeLessThan(1e-4);
    for (const logprob of drawn!.logprobs!) expect(logprob).toBeLessThan(0);
  });

  test("leave the rows as they are, and come beside selected ones", async () => {
    const streams = ["router_logits", "hidden_states"] as const;
    const select = { positions: [-1] };
    const plain = await llm.capture([ABC], { streams, select });
    const beside = await llm.capture([ABC], { streams, select, promptLogprobs: true });
    for (const stream of streams)
      for (const [layer, { data }] of plain.stream(stream))
        expect(maxDifference(beside.stream(stream).get(layer)!.data, data)).toBeLessThan(1e-5);
    expect(plain.outputs[0]).not.toHaveProperty("promptLogprobs");
    const result = await hs.capture(llm, [ABC], { select: { promptPositions: [-1] }, promptLogprobs: true });
    expect(result.outputs[0]!.promptLogprobs).toEqual(beside.outputs[0]!.promptLogprobs);
  });

  test("are in a folder as they were in memory", async () => {
    const folder = await capturePath();
    const options = { ...OPTIONS, logprobs: true, promptLogprobs: true, streams: ["router_logits"] } as const;
    const { outputs } = await llm.capture([ABC], options);
    await llm.capture([ABC], { ...options, into: folder });
    expect((await openCapture(folder)).outputs).toEqual(outputs);
  });
});

test("a model that makes embeddings has none, and says so", async () => {
  const llm = await load(embeddingGguf("nomic_bert_moe"), { task: "embed", threads: 1 });
  try {
    await expect(llm.capture(["a"], { promptLogprobs: true })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message:
        "a model that makes embeddings gives no log-probabilities; leave logprobs and promptLogprobs out",
    });
  } finally {
    await llm.close();
  }
});
