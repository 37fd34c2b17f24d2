/**
 * Peak memory of a long capture to a folder, against the same run of the model that captures nothing:
 *
 *     npm run bench:memory -- [rows, default 1000000] [model, default the Qwen3-MoE fixture]
 *
 * Each run is a process of its own, as a peak never falls. Prints one JSON document.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { FolderSink, load, usageReducer } from "../dist/index.js";

const TOKENS = 256;

/** Forgets the rows, so that only the engine and the way to the sink take memory. */
const nothing = () => ({ open() {}, write() {}, close: () => ({ rows: { length: 0 } }) });

const kinds = {
  model: () => ({ into: nothing(), streams: ["expert_ids"], select: { positions: [] } }),
  folder: (folder) => ({ into: new FolderSink(folder) }),
  reducer: () => ({ into: usageReducer() }),
};

async function measure(kind, rows, model) {
  const folder = mkdtempSync(join(tmpdir(), "moescope-bench-"));
  const llm = await load(model, { threads: 1 });
  const samples = Math.ceil(rows / TOKENS);
  const prompts = Array.from({ length: samples }, (_, sample) => ({
    tokenIds: Int32Array.from({ length: TOKENS }, (_, i) => (sample * 31 + i * 7) % 250),
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
    JSON.stringify({ rows: samples * TOKENS, peakMiB: Math.round(peak), seconds: Math.round(seconds) }),
  );
}

const [first, ...rest] = process.argv.slice(2);
if (first in kinds) await measure(first, Number(rest[0]), rest[1]);
else {
  const rows = Number(first ?? 1_000_000);
  const model = rest[0] ?? fileURLToPath(new URL("../fixtures/qwen3_moe.gguf", import.meta.url));
  const run = (kind) =>
    JSON.parse(execFileSync(process.execPath, [fileURLToPath(import.meta.url), kind, String(rows), model]));
  const results = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, run(kind)]));
  const over = (kind) => results[kind].peakMiB - results.model.peakMiB;
  console.log(
    JSON.stringify({ ...results, folderOverModelMiB: over("folder"), reducerOverModelMiB: over("reducer") }),
  );
}
