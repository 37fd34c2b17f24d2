import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { packageRoot } from "../../src/core/package-root.ts";
import { load } from "../../src/run/load.ts";
import { embeddingGguf } from "../fixtures/embedding-families.ts";
import { ggufOf } from "../fixtures/families.ts";
import { capturePath } from "../store/folder.ts";

const run = promisify(execFile);
const moescope = (...args: string[]) =>
  run(process.execPath, [join(packageRoot, "dist", "cli", "main.js"), ...args]);

const MODEL = embeddingGguf("nomic_bert_moe");

it("capture shows embeddings, and has them in --json and --out", async () => {
  const llm = await load(MODEL);
  const [text, other] = ["the router sends", "experts"];
  const { outputs } = await llm.capture([text!, other!]);
  await llm.close();
  const folder = await capturePath();
  const shown = await moescope("capture", MODEL, text!, other!, "--out", folder);
  expect(shown.stdout).toContain("embeddings: 2 samples × 32, pooling mean, scaled to length 1");
  expect((await openCapture(folder)).outputs).toEqual(outputs);
  const { samples, embedding } = JSON.parse(
    (await moescope("capture", MODEL, text!, other!, "--json")).stdout,
  );
  expect(embedding).toEqual({ pooling: "mean", normalize: true, samples: 2, size: 32 });
  expect(samples.map(({ output }: { output: { embedding: number[] } }) => output.embedding)).toEqual(
    outputs.map(({ embedding }) => [...embedding!]),
  );
});

it("--task, --pooling and --no-normalize say what a model is loaded for", async () => {
  const folder = await capturePath();
  const flags = ["--task", "embed", "--pooling", "cls", "--no-normalize", "--out", folder];
  await moescope("capture", ggufOf("qwen3_moe"), "a text", ...flags);
  const { run: stored, embeddings } = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"));
  expect(stored.settings).toMatchObject({ task: "embed", pooling: "cls", normalize: false });
  expect(embeddings).toMatchObject({ pooling: "cls", normalize: false });
  await expect(moescope("capture", "--resume", folder, "--pooling", "mean")).rejects.toMatchObject({
    code: 2,
  });
  await expect(moescope("capture", "http://localhost:1", "a", "--task", "embed")).rejects.toMatchObject({
    stderr: expect.stringContaining("--task means nothing to a server that is running"),
  });
});

it("refuses to generate with a model whose attention is not causal", async () => {
  await expect(moescope("capture", MODEL, "a text", "--max-tokens", "3")).rejects.toMatchObject({
    stderr: expect.stringContaining("cannot generate: its attention is not causal"),
  });
});

it("inspect tells the pooling", async () => {
  expect((await moescope("inspect", MODEL)).stdout).toMatch(/embeddings +pooling mean/);
});
