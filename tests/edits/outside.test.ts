import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { packageRoot } from "../../src/core/package-root.ts";
import { readControlVectors } from "../../src/engines/llama/model/control-vectors.ts";
import { safetensorsBytes } from "../../src/formats/safetensors.ts";
import type { LanguageModel } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import { ggufOf } from "../fixtures/families.ts";
import { serving } from "../server/serving.ts";

const folder = mkdtempSync(join(tmpdir(), "moescope-edits-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A GGUF file with a vector for layer 1, as llama.cpp's `cvector-generator` writes it. */
function controlVector(path: string, values: Float32Array): void {
  const text = (value: string) => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(value.length));
    return Buffer.concat([length, Buffer.from(value)]);
  };
  const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
  const u64 = (value: number) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
  const header = Buffer.concat([
    ...[Buffer.from("GGUF"), u32(3), u64(1), u64(1)],
    ...[text("general.architecture"), u32(8), text("controlvector")],
    ...[text("direction.1"), u32(1), u64(values.length), u32(0), u64(0)],
  ]);
  const padding = Buffer.alloc((32 - (header.length % 32)) % 32);
  writeFileSync(path, Buffer.concat([header, padding, Buffer.from(values.buffer)]));
}

describe("vectors in files", () => {
  const values = Float32Array.from({ length: 32 }, (_, i) => i / 8);

  it("are read from llama.cpp's GGUF and from safetensors", async () => {
    const gguf = join(folder, "v.gguf");
    controlVector(gguf, values);
    const expected = [{ add: values, scale: 2, layers: [1] }];
    expect(await readControlVectors(gguf, 2)).toEqual(expected);
    const safetensors = join(folder, "v.safetensors");
    const tensor = { name: "vector.1", dtype: "F32" as const, shape: [32], data: values };
    writeFileSync(safetensors, Buffer.concat([...safetensorsBytes([tensor])]));
    expect(await readControlVectors(safetensors, 2)).toEqual(expected);
  });

  it("are refused where there are none", async () => {
    const path = join(folder, "none.safetensors");
    writeFileSync(
      path,
      Buffer.concat([
        ...safetensorsBytes([{ name: "x", dtype: "F32", shape: [1], data: values.slice(0, 1) }]),
      ]),
    );
    await expect(readControlVectors(path, 1)).rejects.toThrow(/has no vectors/);
    await expect(readControlVectors(join(folder, "missing.gguf"), 1)).rejects.toThrow(/missing.gguf/);
  });
});

describe("moescope capture", () => {
  const cli = (...args: string[]) => {
    const main = join(packageRoot, "dist", "cli", "main.js");
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, "capture", ...args], {
      env: { ...process.env, NO_COLOR: "1" },
      encoding: "utf8",
    });
    return { status, stdout, stderr };
  };

  it("edits, says so, and keeps it with the folder", async () => {
    const out = join(folder, "run");
    const { status, stdout, stderr } = cli(
      ...[ggufOf("olmoe"), "Some text", "--ban", "L0E1,L1-2E1", "--bias", "L*E2=-0.5"],
      ...["--top-k-experts", "1", "--out", out],
    );
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toContain("edited: bans expert 1 in layers 0-2");
    const capture = await openCapture(out);
    expect(capture.edits).toEqual([
      { ban: [1], layers: [0, 1, 2] },
      { bias: { 2: -0.5 }, layers: [0, 1, 2] },
      { topK: 1 },
    ]);
    expect(capture.model.moe!.topK).toBe(1);
    for (const [, { data }] of capture.expertIds) expect(data).not.toContain(1);
    const { edits } = await analyzeCapture(capture, { permutations: 10 });
    expect(edits).toEqual([
      "bans expert 1 in layers 0-2",
      "adds to router logits -0.5 of expert 2 in layers 0-2",
      "uses 1 experts a token in every MoE layer",
    ]);
    const replayed = cli(ggufOf("olmoe"), "Some text", "--replay", out);
    expect(replayed.stderr).toMatch(/1 experts a token in layer 0, and the model uses 2/);
    expect(cli("--resume", out, "--ban", "L0E1").stderr).toMatch(/cannot be used with/);
  });

  it("tells what is wrong with an expert's name", () => {
    for (const [option, wrong, message] of [
      ["--ban", "3E7", /names no expert of a layer; write L3E7/],
      ["--bias", "L3E7", /says no number/],
      ["--ban", "L9E0", /unknown layer 9/],
      ["--ban", "L0E*", /8 of its 8 experts are banned/],
    ] as const)
      expect(cli(ggufOf("olmoe"), "text", option, wrong).stderr).toMatch(message);
  });
});

describe("a server", () => {
  let llm: LanguageModel;
  beforeAll(async () => {
    llm = await load(ggufOf("olmoe"), { threads: 1, gpu: false });
  });
  afterAll(() => llm.close());

  it("edits what one request runs, and nothing of the next", async () => {
    const server = await serving({ models: new Map([["olmoe", llm]]) });
    const text = async (edits?: unknown) => {
      const body = { prompt: "Some text", max_tokens: 8, temperature: 0, edits };
      const answer = await server.post("/v1/completions", body);
      return (await answer.json()) as { choices?: { text: string }[]; error?: { message: string } };
    };
    const edits = [{ bias: { 1: 20 } }];
    const [plain] = (await text()).choices!;
    const [edited] = (await text(edits)).choices!;
    const direct = await llm.capture("Some text", { maxTokens: 8, edits });
    expect(edited!.text).toBe(direct.outputs[0]!.text);
    expect(edited!.text).not.toBe(plain!.text);
    expect((await text()).choices![0]!.text).toBe(plain!.text);
    expect((await text([{ bann: [1] }])).error!.message).toMatch(/did you mean ban/);
    expect((await text([{ ban: [99] }])).error!.message).toMatch(/no expert 99/);
    expect((await text([{ replay: "/etc" }])).error!.message).toMatch(/cannot name folders/);
  });
});
