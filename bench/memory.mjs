/**
 * Peak memory of a long capture to a folder, against the same run of the model that captures nothing:
 *
 *     npm run bench:memory -- [rows, default 1000000] [tokens a prompt, default 20] [model, default the Qwen3-MoE fixture]
 *
 * Each run is a process of its own, as a peak never falls. The result goes to bench/results/memory.json. A sample takes
 * some memory by itself (its label, its end), so short prompts are the harder case.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { usageReducer } from "../dist/analysis.js";
import { FolderSink, load } from "../dist/index.js";
import { write } from "./result.mjs";

/** Forgets the rows, so that only the engine and the way to the sink take memory. */
const nothing = () => ({ open() {}, write() {}, close: () => ({ rows: { length: 0 } }) });

const kinds = {
  model: () => ({ into: nothing(), streams: ["expert_ids"], select: { positions: [] } }),
  folder: (folder) => ({ into: new FolderSink(folder) }),
  reducer: () => ({ into: usageReducer() }),
};

async function measure(kind, rows, length, model) {
  const folder = mkdtempSync(join(tmpdir(), "moescope-bench-"));
  const llm = await load(model, { threads: 1 });
  const samples = Math.ceil(rows / length);
  const prompts = Array.from({ length: samples }, (_, sample) => ({
    tokenIds: Int32Array.from({ length }, (_, i) => (sample * 31 + i * 7) % 250),
    label: `label ${sample % 8}`,
  }));
  const began = performance.now();
  await llm.capture(prompts, kinds[kind](join(folder, "run")));
  const seconds = (performance.now() - began) / 1000;
  await llm.close();
  rmSync(folder, { recursive: true });
  // Kilobytes on Linux and macOS, says libuv.
  const peak = process.resourceUsage().maxRSS / 1024;
  console.log(
    JSON.stringify({ rows: samples * length, peakMiB: Math.round(peak), seconds: Math.round(seconds) }),
  );
}

const [first, ...rest] = process.argv.slice(2);
if (first in kinds) await measure(first, Number(rest[0]), Number(rest[1]), rest[2]);
else {
  const rows = Number(first ?? 1_000_000);
  const length = Number(rest[0] ?? 20);
  const model = rest[1] ?? fileURLToPath(new URL("../fixtures/qwen3_moe.gguf", import.meta.url));
  const run = (kind) => {
    const args = [fileURLToPath(import.meta.url), kind, rows, length, model].map(String);
    return JSON.parse(execFileSync(process.execPath, args));
  };
  const results = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, run(kind)]));
  const over = (kind) => results[kind].peakMiB - results.model.peakMiB;
  write("memory", {
    promptTokens: length,
    ...results,
    folderOverModelMiB: over("folder"),
    reducerOverModelMiB: over("reducer"),
  });
}
