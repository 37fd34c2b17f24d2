import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { packageRoot } from "../../../src/core/package-root.ts";
import { load } from "../../../src/run/load.ts";
import { demoCheckpoint } from "./checkpoints.ts";

/** Each starts vLLM, which imports for seconds and takes longer where the machine does something else. */
const START = 600_000;

const vllm = inject("vllm");
const main = join(packageRoot, "dist", "cli", "main.js");
const gguf = join(packageRoot, "models", "demo", "demo-moe.gguf");
const prompts = ["--prompts", join(packageRoot, "models", "demo", "prompts.jsonl")];
const arguments_ = ["dtype=float32", "enforceEager=true", "maxModelLen=512", "gpuMemoryUtilization=0.08"];
const inVllm = ["--engine", "vllm", ...arguments_.flatMap((text) => ["--engine-arg", text])];
const inLlama = ["--kv-type", "f32", "--no-flash-attention"];

describe.skipIf("missing" in vllm)("llama.cpp against vLLM, by moescope compare", { timeout: START }, () => {
  let folder = "";
  let checkpoint = "";
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "moescope-vllm-"));
    checkpoint = await demoCheckpoint(inject("python"), folder);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("two folders", async () => {
    const [a, b] = [join(folder, "llama"), join(folder, "vllm")];
    await moescope("capture", gguf, ...prompts, ...inLlama, "--out", a);
    await moescope("capture", checkpoint, ...prompts, ...inVllm, "--out", b);
    expectTheSame(JSON.parse(await moescope("compare", a, b, "--json")));
    expect(await moescope("compare", a, b)).toMatch(/keep their experts in every layer/);
  });

  it("two models", async () => {
    const args = ["compare", gguf, checkpoint, ...prompts, ...inVllm, ...inLlama, "--json"];
    expectTheSame(JSON.parse(await moescope(...args)));
  });

  it("chats have the tokens that transformers gives them, as in llama.cpp", async () => {
    const read = (name: string) => JSON.parse(readFileSync(join(packageRoot, "tests", name), "utf8"));
    const expected: Record<string, number[] | null> = read("prompts/demo-chats.json");
    const { shapes, tools } = read("jinja/shapes.json");
    const { python } = vllm as { python: string };
    const options = { dtype: "float32", enforceEager: true, maxModelLen: 512, gpuMemoryUtilization: 0.08 };
    const llm = await load(checkpoint, { engine: "vllm", python, ...options });
    try {
      for (const shape of shapes) {
        if (expected[shape.name] === null) continue;
        const tokens = await llm.encode({
          messages: shape.messages,
          tools: shape.tools === "tools" ? tools : (shape.tools ?? null),
          documents: shape.documents ?? null,
          chatTemplateKwargs: shape.kwargs ?? null,
          addGenerationPrompt: shape.add_generation_prompt ?? null,
          continueFinalMessage: shape.continue_final_message ?? null,
        });
        expect([...tokens], shape.name).toEqual(expected[shape.name]);
      }
      const bare = await llm.encode({ prompt: "<s>User: Hi", addSpecial: false });
      expect((await llm.encode("<s>User: Hi")).length).toBe(bare.length + 1);
    } finally {
      await llm.close();
    }
  });

  async function moescope(...args: string[]): Promise<string> {
    const { python } = vllm as { python: string };
    const env = { ...process.env, MOESCOPE_PYTHON: python };
    const { stdout } = await promisify(execFile)(process.execPath, [main, ...args], {
      env,
      maxBuffer: 1 << 28,
    });
    return stdout;
  }
});

interface Report {
  readonly a: { readonly engine: { readonly kind: string }; readonly rows: number };
  readonly b: { readonly engine: { readonly kind: string }; readonly rows: number };
  readonly onlyA: number;
  readonly onlyB: number;
  readonly exact: number;
  readonly layers: readonly { readonly exact: number; readonly overlap: number; readonly kl: number }[];
}

/**
 * One model: the same experts but where two are all but equal. llama.cpp's kernels round activations as the weights are,
 * to BF16; vLLM's compute in float32.
 */
function expectTheSame({ a, b, onlyA, onlyB, exact, layers }: Report): void {
  expect([a.engine.kind, b.engine.kind]).toEqual(["llama.cpp", "vllm"]);
  expect(a.rows).toBeGreaterThan(1000);
  expect({ rows: b.rows, onlyA, onlyB }).toEqual({ rows: a.rows, onlyA: 0, onlyB: 0 });
  // Of all layers at once; the bound on each comes next.
  expect(exact).toBeGreaterThanOrEqual(0.98);
  expect(layers).toHaveLength(6);
  for (const { exact, overlap, kl } of layers) {
    expect(exact).toBeGreaterThanOrEqual(0.99);
    expect(overlap).toBeGreaterThanOrEqual(0.995);
    expect(Math.abs(kl)).toBeLessThan(1e-4);
  }
}
