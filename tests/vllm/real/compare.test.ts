import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { packageRoot } from "../../../src/package-root.ts";
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
