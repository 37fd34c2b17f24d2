import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { Capture } from "../../../src/capture/capture.ts";
import { packageRoot } from "../../../src/core/package-root.ts";
import { load } from "../../../src/run/load.ts";
import { demoCheckpoint } from "./checkpoints.ts";
import { serve } from "./serve.ts";

const START = 600_000;

const vllm = inject("vllm");
const texts = ["What is 12 + 7?", "Der Hund schläft im Garten.", "def add(a, b):"];
const streams = ["router_logits", "expert_ids", "hidden_states"] as const;

/** The demo model, with experts, loaded to make embeddings. The Python checks compare values with transformers'. */
describe.skipIf("missing" in vllm)("vLLM's pooling runner", { timeout: START }, () => {
  const { python } = { python: "", ...vllm };
  let folder = "";
  let checkpoint = "";
  let reference: Capture;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "moescope-vllm-"));
    checkpoint = await demoCheckpoint(inject("python"), folder);
    await using llm = await load(join(packageRoot, "models", "demo", "demo-moe.gguf"), {
      kvType: "f32",
      flashAttention: false,
      task: "embed",
      pooling: "last",
    });
    reference = await llm.capture(texts, { streams });
  }, START);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("captures prompts and their vectors in a process of our own, as long as they are", async () => {
    const small = { dtype: "float32", enforceEager: true, maxModelLen: 512, gpuMemoryUtilization: 0.08 };
    await using llm = await load(checkpoint, {
      engine: "vllm",
      python,
      ...small,
      task: "embed",
      pooling: "last",
      normalize: false,
    });
    expect(llm.task).toBe("embed");
    expect(llm.embedding).toEqual({ pooling: "last", normalize: false });
    await expect(llm.capture(texts, { maxTokens: 3 })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    const capture = await llm.capture(texts, { streams });
    expectAsReference(capture);
    for (const vector of vectorsOf(capture)) expect(lengthOf(vector)).toBeGreaterThan(2);
  });

  it("captures them from a server, where they have the length 1", async () => {
    const server = await serve(python, checkpoint, ["--max-model-len", "512", "--runner", "pooling"]);
    try {
      await using llm = await load(server.far);
      expect(llm.embedding).toEqual({ pooling: "last", normalize: true });
      const capture = await llm.capture(texts, { streams });
      expectAsReference(capture);
      for (const vector of vectorsOf(capture)) expect(lengthOf(vector)).toBeCloseTo(1, 4);
    } finally {
      server.kill();
    }
  });

  /** The same rows as llama.cpp's, and vectors in the same direction. */
  function expectAsReference(capture: Capture): void {
    expect(capture.complete).toBe(true);
    for (const column of ["sample", "position", "tokenId", "phase"] as const)
      expect(capture.rows[column]).toEqual(reference.rows[column]);
    for (const layer of capture.hiddenStates.keys())
      expect(
        cosine(capture.hiddenStates.get(layer)!.data, reference.hiddenStates.get(layer)!.data),
      ).toBeGreaterThan(0.999);
    expect([...capture.routerLogits.keys()]).toEqual([...reference.routerLogits.keys()]);
    const expected = vectorsOf(reference);
    for (const [index, vector] of vectorsOf(capture).entries())
      expect(cosine(vector, expected[index]!)).toBeGreaterThan(0.999);
  }
});

const vectorsOf = (capture: Capture) => capture.outputs.map(({ embedding }) => embedding!);
const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
const lengthOf = (vector: Float32Array) => Math.sqrt(dot(vector, vector));
const cosine = (a: Float32Array, b: Float32Array) => dot(a, b) / (lengthOf(a) * lengthOf(b));
