/**
 * Expert usage (top-8 with weights that sum to 1, as Qwen3-30B-A3B routes) and routing entropy of float32 router logits [rows, 128]: moescope's reducers, NumPy and PyTorch
 * with one thread each, on the same numbers. Prints JSON and keeps it in bench/results/reducers.json.
 *
 *     npm run bench:reducers -- [rows, default 1000000] [runs, default 5]
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { combine, entropyReducer, usageReducer } from "../dist/analysis.js";
import { python } from "./python.mjs";
import { inTurns, medians, ratio, timed, write } from "./result.mjs";

const [rows, runs] = [Number(process.argv[2] ?? 1_000_000), Number(process.argv[3] ?? 5)];
const [experts, topK, chunk] = [128, 8, 4096];
const folder = mkdtempSync(join(tmpdir(), "moescope-bench-"));
const file = join(folder, "logits.f32");
const other = python("reducers.py", file, rows, experts, topK, chunk);
await other.ready();
const bytes = readFileSync(file);
const logits = new Float32Array(bytes.buffer, bytes.byteOffset, rows * experts);

const gating = {
  ...{ score: "softmax", chosenBy: "scores", normalize: true, scale: 1 },
  ...{ selectionBias: false, groups: null, weighted: "outputs" },
};
const header = {
  engine: { kind: "none", version: "" },
  model: { layers: 1, moe: { layers: [0], experts, topK, sharedExperts: 0, gating } },
  streams: [{ name: "router_logits", layers: [0] }],
  samples: [{ label: null, promptTokens: rows }],
};

async function reduce() {
  const reducer = combine({ usage: usageReducer(), entropy: entropyReducer() });
  await reducer.open(header);
  const sample = new Int32Array(chunk);
  for (let from = 0; from < rows; from += chunk) {
    const count = Math.min(chunk, rows - from);
    const values = logits.subarray(from * experts, (from + count) * experts);
    const streams = new Map([["router_logits", new Map([[0, values]])]]);
    await reducer.write({ rows: count, sample: sample.subarray(0, count), streams });
  }
  const { usage, entropy } = await reducer.close({ finished: [] });
  const { counts, weights } = usage.layers.get(0);
  return { counts: [...counts], weights: [...weights], entropy: entropy.get(0).mean };
}

const all = await inTurns(
  { moescope: () => timed(reduce), numpy: () => other.ask("numpy"), torch: () => other.ask("torch") },
  runs,
);
other.close();
rmSync(folder, { recursive: true });

const ours = all.moescope[0].result;
for (const name of ["numpy", "torch"]) {
  const theirs = all[name][0].result;
  const off = (a, b) => Math.abs(a / b - 1);
  // Two logits of a row may be the same number, and each is free to choose.
  const counted = ours.counts.reduce((sum, count, i) => sum + Math.abs(count - theirs.counts[i]), 0);
  if (counted > 1e-5 * rows * topK || off(ours.entropy, theirs.entropy) > 1e-5)
    throw new Error(
      `${name} gets other results: ${counted} choices, entropy ${ours.entropy} and ${theirs.entropy}`,
    );
}
write("reducers", {
  rows,
  experts,
  topK,
  runs,
  milliseconds: medians(all),
  ratios: {
    "over NumPy": ratio(all, "moescope", "numpy"),
    "over PyTorch": ratio(all, "moescope", "torch"),
    "over NumPy, processor time": ratio(all, "moescope", "numpy", "cpu"),
    "over PyTorch, processor time": ratio(all, "moescope", "torch", "cpu"),
  },
});
