import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import type { Capture } from "../../src/capture/capture.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { packageRoot } from "../../src/core/package-root.ts";
import { load } from "../../src/run/load.ts";
import { storedRun } from "../../src/run/stored-run.ts";
import { ggufOf } from "../fixtures/families.ts";
import { expectSameRows } from "./capture-contents.ts";
import { capturePath } from "./folder.ts";

const KILLS = 20;
const SEED = 20261123;
/** f32 cache and plain attention: what is left is the order of sums in batches of other shapes. */
const TOLERANCE = 1e-4;

const prompts = Array.from({ length: 40 }, (_, i) => ({
  prompt: `Text ${i}: the router sends each token to its experts. `.repeat(1 + (i % 5)),
  label: i % 3 === 0 ? null : `label ${i % 3}`,
}));

const moescope = (args: readonly string[]) =>
  spawn(process.execPath, [join(packageRoot, "dist", "cli", "main.js"), ...args], { stdio: "ignore" });

const endOf = (child: ChildProcess) => new Promise((resolve) => child.once("exit", resolve));

/** Ends when the run has ended; kills it `afterMs` after its folder opens. Tells how long it ran from then on. */
async function capture(out: string, file: string, afterMs: number | null): Promise<number> {
  const flags = "--max-tokens 24 --temperature 0.8 --seed 3 --kv-type f32 --no-flash-attention --threads 1";
  const args = ["capture", ggufOf("qwen3_moe"), "--prompts", file, "--out", out, "--shard-size", "0.05"];
  const child = moescope([...args, ...flags.split(" ")]);
  const ended = endOf(child);
  while (!existsSync(join(out, "manifest.json")) && child.exitCode === null) await sleep(2);
  const began = performance.now();
  if (afterMs !== null) {
    await Promise.race([sleep(afterMs), ended]);
    child.kill("SIGKILL");
  }
  await ended;
  return performance.now() - began;
}

/** Resume the folder, and kill that too once it has taken the folder's lock from the killed run. */
async function resumeAndKill(out: string, afterMs: number): Promise<void> {
  const owner = () => readFile(join(out, ".lock"), "utf8").catch(() => "");
  const before = await owner();
  const child = moescope(["capture", "--resume", out, "--threads", "1"]);
  const ended = endOf(child);
  while ((await owner()) === before && child.exitCode === null) await sleep(1);
  await Promise.race([sleep(afterMs), ended]);
  child.kill("SIGKILL");
  await ended;
}

test(`a run that is killed at ${KILLS} random moments opens, and ends like an unbroken one when it is resumed`, async () => {
  const parent = dirname(await capturePath());
  const file = join(parent, "prompts.jsonl");
  writeFileSync(file, prompts.map((prompt) => JSON.stringify(prompt)).join("\n"));
  const duration = await capture(join(parent, "whole"), file, null);
  const whole = await openCapture(join(parent, "whole"));
  expect(whole.complete).toBe(true);
  expect(whole.outputs).toHaveLength(prompts.length);

  const random = seededRandom(SEED);
  const moments: string[] = [];
  const { settings, model } = await storedRun(join(parent, "whole"));
  const llm = await load(model.source, { ...settings, threads: 1 });
  for (let kill = 0; kill < KILLS; kill++) {
    const out = join(parent, `run${kill}`);
    await mkdir(out);
    await capture(out, file, random() * duration * 0.9);
    const killed = await openCapture(out);
    moments.push(`${killed.rows.length}`);
    expectSameRows(killed, whole, TOLERANCE);
    if (killed.complete) continue; // it was faster this time
    if (kill % 4 === 0) {
      await resumeAndKill(out, random() * 200);
      expectSameRows(await openCapture(out), whole, TOLERANCE);
    }
    const resumed: Capture = await llm.resume(out);
    expect(resumed.complete).toBe(true);
    expect(resumed.rows.length).toBe(whole.rows.length);
    expectSameRows(resumed, whole, TOLERANCE);
    expect(resumed.outputs).toEqual(whole.outputs);
  }
  await llm.close();
  console.log(`seed ${SEED}: killed with ${moments.join(", ")} of ${whole.rows.length} rows on the disk`);
}, 180_000);
