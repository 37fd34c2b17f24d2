import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { readManifest } from "../../src/capture/folder/manifest.ts";
import type { Engine } from "../../src/core/engine.ts";
import { FakeEngine } from "./fake-engine.ts";
import { runCli } from "./run-cli.ts";

const folder = mkdtempSync(join(tmpdir(), "moescope-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));

const prompts = join(folder, "prompts.jsonl");
writeFileSync(
  prompts,
  Array.from({ length: 9 }, (_, i) => JSON.stringify({ prompt: `text ${i * i}`, label: `l${i % 2}` })).join(
    "\n",
  ),
);

/** Stops after three samples, as a disk or a person would. */
class BreakingEngine extends FakeEngine {
  override async *run(...args: Parameters<Engine["run"]>): ReturnType<FakeEngine["run"]> {
    let left = 3;
    for await (const step of super.run(...args)) {
      if (left-- === 0) throw new Error("the power is gone");
      yield step;
    }
  }
}

test("capture --resume goes on with nothing but the folder", async () => {
  const out = join(folder, "run1");
  const args = ["capture", "m.gguf", "--prompts", prompts, "--max-tokens", "2", "--layers", "0-1"];
  const broken = await runCli([...args, "--out", out, "--dtype", "bf16", "--shard-size", "0.001"], {
    engine: new BreakingEngine(),
  });
  expect(broken.code).toBe(1);
  expect(broken.stderr).toContain(`${out} keeps what was finished before (capture --resume ${out} goes on)`);
  expect((await openCapture(out)).outputs).toHaveLength(3);

  const resumed = await runCli(["capture", "--resume", out, "--threads", "1", "--json"]);
  expect(resumed).toMatchObject({ code: 0, stderr: "", loads: [{ reference: "fake.gguf", threads: 1 }] });
  const unbroken = await runCli([...args, "--json"]);
  const { model, out: written, ...report } = JSON.parse(resumed.stdout);
  expect(written).toBe(out);
  expect(model).toMatchObject({ name: "fake-moe" });
  expect(JSON.parse(unbroken.stdout)).toMatchObject(report);
  const manifest = await readManifest(out);
  expect(manifest).toMatchObject({ complete: true, streams: { router_logits: { dtype: "BF16" } } });
  expect(manifest.shards.length).toBeGreaterThan(3);

  const again = await runCli(["capture", "--resume", out, "--model", "other.gguf"]);
  expect(again).toMatchObject({ code: 0, stderr: `moescope: ${out} is complete\n`, loads: [] });
});

test("--model is where the model lies now", async () => {
  const out = join(folder, "moved");
  const args = ["capture", "m.gguf", "--prompts", prompts, "--out", out];
  await runCli(args, { engine: new BreakingEngine() });
  const { loads, code } = await runCli(["capture", "--resume", out, "--model", "other.gguf"]);
  expect({ loads, code }).toEqual({ loads: [{ reference: "other.gguf" }], code: 0 });
});

test("profile prints the usage map, and profiles of parts merge to that of the whole", async () => {
  const lines = (await readFile(prompts, "utf8")).split("\n");
  const files = ["whole", "a", "b"].map((name) => join(folder, `${name}.json`));
  const parts = [lines, lines.slice(0, 4), lines.slice(4)];
  const shown: string[] = [];
  for (const [i, part] of parts.entries()) {
    const args = ["profile", "m.gguf", "--prompts", "-", "--max-tokens", "2", "--out", files[i]!];
    const { code, stdout, stderr } = await runCli(args, { stdin: part.join("\n") });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    shown.push(stdout);
  }
  expect(shown[0]).toContain("of 9 samples");
  expect(shown[0]).toContain("Expert usage against fair share (12.5 % of tokens)");
  expect(shown[0]).toContain("Usage by label in layer 2");
  expect(shown[0]).toMatch(/Routing entropy by layer: \d\.\d\d to \d\.\d\d of at most 2.77 nats/);
  for (const line of shown[0]!.split("\n")) expect(line.length).toBeLessThanOrEqual(80);

  const merged = await runCli(["profile", "--merge", files[1]!, files[2]!, "--json"]);
  const whole = JSON.parse(await readFile(files[0]!, "utf8"));
  const rounded = (_: string, x: unknown) => (typeof x === "number" ? Number(x.toPrecision(9)) : x);
  expect(JSON.parse(merged.stdout, rounded)).toEqual(JSON.parse(JSON.stringify(whole), rounded));
});

test("profile refuses files that are none, and other models'", async () => {
  const file = join(folder, "none.json");
  writeFileSync(file, '{"format":"moescope.report/1"}');
  const { code, stderr } = await runCli(["profile", "--merge", file]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^moescope: the profile .*none\.json is wrong at format: /);
});
