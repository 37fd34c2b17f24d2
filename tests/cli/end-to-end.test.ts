import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, inject, it } from "vitest";
import { packageRoot, packageVersion } from "../../src/core/package-root.ts";
import { ggufOf } from "../fixtures/families.ts";
import { perturbedGguf } from "../fixtures/perturbed-gguf.ts";

const main = join(packageRoot, "dist", "cli", "main.js");
const folder = mkdtempSync(join(tmpdir(), "moescope-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function moescope(args: readonly string[], during?: (child: ChildProcess) => void): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, NO_COLOR: "1" } });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin.end();
    during?.(child);
  });
}

describe("moescope", () => {
  it("captures from a real model and prints the summary, the strip and the map", async () => {
    const { code, stdout, stderr } = await moescope([
      "capture",
      ggufOf("qwen3_moe"),
      "The router",
      "--max-tokens",
      "6",
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(
      /Captured 3 MoE layers:\n {2}Layer {2}0: \d+ tokens × 8 experts, dtype float32, device cpu/,
    );
    expect(stdout).toMatch(/fair share/);
    for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  });

  it("lists the tensors that can be captured, and captures them and attention into a folder", async () => {
    const model = ggufOf("qwen3_next");
    const { code, stdout } = await moescope(["inspect", model, "--tensors", "--no-flash-attention"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {2}Qcur_normed +f32 +tokens × 2 × 32 +1$/m);
    expect(stdout).toMatch(/^ {2}conv_states +it has no row for each token$/m);
    for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
    const listed = JSON.parse((await moescope(["inspect", model, "--tensors", "--json"])).stdout).tensors;
    expect(listed).toContainEqual({
      name: "Qcur_normed",
      layers: [1],
      type: "f32",
      shape: ["tokens", 2, 32],
      capturable: true,
    });
    const out = join(folder, "tensors");
    const flags = ["--streams", "attention,activation:Qcur_normed", "--attention-top-keys", "2"];
    const captured = await moescope(["capture", model, "a b c", ...flags, "--threads", "1", "--out", out]);
    expect(captured).toMatchObject({ code: 0, stderr: "" });
    expect(captured.stdout).toMatch(/attention: \d+ tokens × 2 × 2, layers 1/);
    const { streams, run } = JSON.parse(readFileSync(join(out, "manifest.json"), "utf8"));
    expect(run.topKeys).toBe(2);
    expect(streams.attention_keys).toMatchObject({
      axes: ["rows", "heads", "keys"],
      dtype: "I32",
      dims: [[2, 2]],
    });
    expect(existsSync(join(out, "activation.Qcur_normed-00000.safetensors"))).toBe(true);
  });

  it("says the same to programs", async () => {
    const { code, stdout } = await moescope([
      "capture",
      ggufOf("gpt_oss"),
      "a b c",
      "--json",
      "--threads",
      "1",
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      model: { architecture: "gpt-oss" },
      engine: { kind: "llama.cpp" },
    });
  });

  it("writes a folder that Python reads with safetensors and pandas", async () => {
    const prompts = join(folder, "prompts.jsonl");
    writeFileSync(
      prompts,
      '{"prompt": "The router", "label": "a"}\n{"token_ids": [5, 6, 7], "label": "b"}\n',
    );
    const out = join(folder, "run1");
    const args = ["capture", ggufOf("deepseek_v3"), "--prompts", prompts, "--out", out, "--max-tokens", "4"];
    const { code, stderr } = await moescope([
      ...args,
      "--layers",
      "1-2",
      "--kv-type",
      "f32",
      "--no-flash-attention",
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const script = `
import json, sys
import pandas as pd
from safetensors.numpy import load_file
out = sys.argv[1]
rows = pd.read_parquet(out + "/rows.parquet")
logits = load_file(out + "/router_logits-00000.safetensors")
ids = load_file(out + "/expert_ids-00000.safetensors")
print(json.dumps({"rows": len(rows), "columns": list(rows.columns), "labels": sorted(set(rows.label)),
  "tensors": sorted(k for k in logits if k.startswith("router_logits")),
  "shape": list(logits["router_logits.1"].shape), "ids": str(ids["expert_ids.2"].dtype)}))`;
    const python = await new Promise<string>((resolve, reject) =>
      execFile(inject("python"), ["-c", script, out], (error, text) =>
        error ? reject(error) : resolve(text),
      ),
    );
    const manifest = JSON.parse(readFileSync(join(out, "manifest.json"), "utf8"));
    expect(manifest).toMatchObject({ format: "moescope.capture/1", complete: true });
    expect(JSON.parse(python)).toEqual({
      rows: manifest.rows,
      columns: ["row", "sample", "position", "token_id", "text", "phase", "label"],
      labels: ["a", "b"],
      tensors: ["router_logits.1", "router_logits.2"],
      shape: [manifest.rows, 8],
      ids: "uint8",
    });
    const again = await moescope(["capture", ggufOf("deepseek_v3"), "x", "--out", out]);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain(out);
  });

  it("compares real models, one after the other", async () => {
    const perturbed = join(folder, "perturbed.gguf");
    await perturbedGguf(ggufOf("qwen3_moe"), perturbed, 0.3);
    const compare = (other: string) =>
      moescope(["compare", ggufOf("qwen3_moe"), other, "--threads", "1", "--", "The router", "1 + 2 = 3"]);
    const same = await compare(ggufOf("qwen3_moe"));
    expect(same).toMatchObject({ code: 0, stderr: "" });
    expect(same.stdout).toContain("in 3 MoE layers\n100 % of the tokens keep their experts");
    const different = await compare(perturbed);
    expect(different.stdout).toContain("Tokens that moved most");
    expect(different.stdout).not.toContain("\n100 % of the tokens");
  });

  it("exits with 2 for wrong use, 1 for what fails, 0 for help and version", async () => {
    expect(await moescope(["--version"])).toMatchObject({ code: 0, stdout: `${packageVersion}\n` });
    const help = await moescope(["capture", "--help"]);
    expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining("Examples:") });
    expect((await moescope(["capture"])).code).toBe(2);
    expect((await moescope(["capture", ggufOf("mixtral"), "--nope"])).code).toBe(2);
    const none = await moescope(["capture", join(folder, "none.gguf"), "a"]);
    expect(none.code).toBe(1);
    expect(none.stderr).toMatch(/^moescope: no model at .*none\.gguf\n$/);
  });

  it("Ctrl-C stops a long capture, keeps what was finished and exits with 130", async () => {
    const texts = Array.from({ length: 400 }, () => "The router sent the experts away. ".repeat(3));
    const prompts = join(folder, "many.txt");
    writeFileSync(prompts, texts.join("\n"));
    let rows = 0;
    // How soon the first rows come depends on the machine: wait longer until some were kept.
    for (const delay of [400, 1600, 6400]) {
      const out = join(folder, `interrupted-after-${delay}`);
      const args = [
        "capture",
        ggufOf("qwen3_moe"),
        "--prompts",
        prompts,
        "--out",
        out,
        "--max-tokens",
        "300",
      ];
      const { code, stderr } = await moescope(args, (child) => {
        const waiting = setInterval(() => {
          if (!existsSync(out)) return;
          clearInterval(waiting);
          setTimeout(() => child.kill("SIGINT"), delay);
        }, 10);
      });
      expect(code).toBe(130);
      expect(stderr).toContain("interrupted");
      const manifest = JSON.parse(readFileSync(join(out, "manifest.json"), "utf8"));
      expect(manifest.complete).toBe(false);
      rows = manifest.rows;
      if (rows > 0) break;
    }
    expect(rows).toBeGreaterThan(0);
  });

  it("ends quietly when its reader has seen enough", async () => {
    const { code, stderr } = await moescope(["capture", ggufOf("mixtral"), "a b c"], (child) =>
      child.stdout!.destroy(),
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });

  it("inspects every family", async () => {
    const { code, stdout } = await moescope(["inspect", ggufOf("glm4_moe")]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/glm4moe/);
    expect(stdout).toMatch(/sigmoid/);
  });
});
