/**
 * Time and peak memory of `analyzeCapture` over a large folder, on one thread and on all:
 *
 *     npm run bench:analysis -- [GiB, default 2] [threads, default one a core] [permutations, default 4999]
 *
 * Writes a folder of that size for a model of 24 layers, 128 experts, top-8, and removes it. Each run is a process of
 * its own, as a peak never falls. `nothing` opens the folder and does no more: what memory the labels take. Fewer
 * permutations show what reading and counting cost. Prints one JSON document.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { analyzeCapture, FolderSink, openCapture, route, tensor } from "../dist/index.js";

const LAYERS = 24;
const EXPERTS = 128;
const TOP_K = 8;
const TOKENS = 256;
const POOL = 8192;
const ROW_BYTES = LAYERS * (EXPERTS * 4 + TOP_K * (1 + 4));
const gating = { score: "softmax", normalize: true, scale: 1, selectionBias: false, groups: null };

/** Rows whose routing leans on the token, drawn once: what takes time here is not the making of numbers. */
function pool() {
  const random = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  const lean = Float32Array.from({ length: 256 * EXPERTS }, random);
  const logits = Float32Array.from({ length: POOL * EXPERTS }, (_, i) => {
    const row = Math.floor(i / EXPERTS);
    return lean[(row % 256) * EXPERTS + (i % EXPERTS)] + random();
  });
  const { ids, weights } = route(tensor("float32", [POOL, EXPERTS], logits), gating, TOP_K);
  return { logits, ids: ids.data, weights: weights.data };
}

async function make(folder, gib) {
  const samples = Math.ceil((gib * 2 ** 30) / ROW_BYTES / TOKENS);
  const { logits, ids, weights } = pool();
  const layers = Array.from({ length: LAYERS }, (_, layer) => layer);
  const sink = new FolderSink(folder);
  const names = ["router_logits", "expert_ids", "expert_weights"];
  await sink.open({
    engine: { kind: "llama.cpp", version: "bench" },
    model: {
      ...{
        name: "bench",
        source: "bench",
        architecture: "qwen3moe",
        layers: LAYERS,
        hiddenSize: 0,
        vocabSize: 256,
      },
      ...{ contextLength: TOKENS, parameters: 0, bytes: 0, quantization: "F32" },
      moe: { layers, experts: EXPERTS, topK: TOP_K, sharedExperts: 0, gating },
    },
    streams: names.map((name) => ({ name, layers })),
    samples: Array.from({ length: samples }, (_, i) => ({
      label: `label ${i % 8}`,
      promptTokens: TOKENS / 2,
    })),
    tokenText: (id) => ` ${id}`,
  });
  for (let sample = 0; sample < samples; sample++) {
    const from = (sample % (POOL / TOKENS - LAYERS)) * TOKENS;
    const part = (data, width) =>
      new Map(
        layers.map((layer) => [
          layer,
          data.subarray((from + layer * TOKENS) * width, (from + (layer + 1) * TOKENS) * width),
        ]),
      );
    await sink.write({
      rows: TOKENS,
      sample: new Int32Array(TOKENS).fill(sample),
      position: Int32Array.from({ length: TOKENS }, (_, i) => i),
      tokenId: Int32Array.from({ length: TOKENS }, (_, i) => i),
      phase: Uint8Array.from({ length: TOKENS }, (_, i) => (i < TOKENS / 2 ? 0 : 1)),
      streams: new Map([
        ["router_logits", part(logits, EXPERTS)],
        ["expert_ids", part(ids, TOP_K)],
        ["expert_weights", part(weights, TOP_K)],
      ]),
    });
  }
  await sink.close({ finished: [] });
  return samples * TOKENS;
}

async function measure(kind, folder, permutations) {
  const began = performance.now();
  const capture = await openCapture(folder);
  if (kind !== "nothing") await analyzeCapture(capture, { threads: Number(kind), permutations });
  const seconds = (performance.now() - began) / 1000;
  // Kilobytes on Linux and macOS, says libuv.
  const peak = process.resourceUsage().maxRSS / 1024;
  console.log(JSON.stringify({ seconds: Math.round(seconds * 10) / 10, peakMiB: Math.round(peak) }));
}

const [first, second, third] = process.argv.slice(2);
const permutations = Number(third ?? 4999);
if (second?.startsWith("/")) await measure(first, second, permutations);
else {
  const gib = Number(first ?? 2);
  const threads = Number(second ?? availableParallelism());
  const temporary = mkdtempSync(join(tmpdir(), "moescope-bench-"));
  try {
    const folder = join(temporary, "run");
    const rows = await make(folder, gib);
    const run = (kind) =>
      JSON.parse(
        execFileSync(process.execPath, [
          ...[fileURLToPath(import.meta.url), `${kind}`, folder, `${permutations}`],
        ]),
      );
    const [nothing, one, all] = [run("nothing"), run(1), run(threads)];
    const speedUp = Math.round((one.seconds / all.seconds) * 100) / 100;
    console.log(
      JSON.stringify({ gib, rows, layers: LAYERS, threads, permutations, nothing, one, all, speedUp }),
    );
  } finally {
    rmSync(temporary, { recursive: true });
  }
}
