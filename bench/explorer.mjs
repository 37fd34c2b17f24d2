/**
 * How smoothly the explorer's token map moves at full size: 100,000 tokens x 48 layers.
 *
 *     npm run bench:explorer [-- TOKENS]
 *
 * Writes a capture of that size (random router logits, 0.4 GB, in the temporary folder), serves it, and pans and zooms
 * the map in Chromium with its keys. Printed: the time between frames while the map moves, against the time between
 * frames of the same page at rest in the same run.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { FolderSink, inspectModel } from "../dist/index.js";
import { median, round, write } from "./result.mjs";

const TOKENS = Number(process.argv[2] ?? 100_000);
const LAYERS = 48;
const EXPERTS = 32;
const TOP_K = 4;
const SAMPLE = 500;
const BROWSER = process.env.MOESCOPE_TEST_CHROMIUM ?? "/usr/bin/chromium";
const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

const folder = mkdtempSync(join(tmpdir(), "moescope-bench-"));
try {
  await writeCapture(join(folder, "large"));
  write("explorer", { tokens: TOKENS, layers: LAYERS, experts: EXPERTS, ...(await measure(folder)) });
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function writeCapture(into) {
  const model = await inspectModel(path("../models/demo/demo-moe.gguf"));
  const layers = Array.from({ length: LAYERS }, (_, layer) => layer);
  const sink = new FolderSink(into, { dtype: "float16" });
  await sink.open({
    engine: { kind: "llama.cpp", version: "synthetic" },
    model: {
      ...model,
      name: "synthetic",
      layers: LAYERS,
      moe: { ...model.moe, layers, experts: EXPERTS, topK: TOP_K },
    },
    streams: ["router_logits", "expert_ids", "expert_weights"].map((name) => ({ name, layers })),
    samples: Array.from({ length: Math.ceil(TOKENS / SAMPLE) }, (_, i) => ({
      label: ["code", "prose", "numbers", "chat"][i % 4],
      promptTokens: SAMPLE,
    })),
    tokenText: (id) => ` t${id}`,
  });
  // The samples of a kind have the same values: what is read and drawn is as large, and writing takes seconds.
  const kinds = [0, 1, 2, 3].map((kind) => routingOf(kind, layers));
  for (let from = 0; from < TOKENS; from += SAMPLE) {
    const rows = Math.min(SAMPLE, TOKENS - from);
    const row = (f) => Int32Array.from({ length: rows }, (_, i) => f(from + i));
    const streams = new Map(
      [...kinds[(from / SAMPLE) % 4]].map(([name, byLayer]) => [
        name,
        new Map(
          [...byLayer].map(([layer, values]) => [layer, values.subarray(0, (values.length / SAMPLE) * rows)]),
        ),
      ]),
    );
    await sink.write({
      rows,
      sample: row((at) => Math.floor(at / SAMPLE)),
      position: row((at) => at % SAMPLE),
      tokenId: row((at) => (at * 7919) % 5000),
      phase: new Uint8Array(rows),
      streams,
    });
    process.stderr.write(`\rwriting ${from + rows} of ${TOKENS} tokens`);
  }
  process.stderr.write("\n");
  await sink.close({ finished: [] });
}

/** A sample's streams: some experts like it better than others. */
function routingOf(kind, layers) {
  let seed = kind + 1;
  const random = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
  const [logits, ids, weights] = [new Map(), new Map(), new Map()];
  for (const layer of layers) {
    const values = new Float32Array(SAMPLE * EXPERTS);
    const chosen = new Uint16Array(SAMPLE * TOP_K);
    for (let i = 0; i < SAMPLE; i++) {
      const sharp = 1 + 3 * random();
      const own = values.subarray(i * EXPERTS, (i + 1) * EXPERTS);
      for (let e = 0; e < EXPERTS; e++) own[e] = sharp * (random() + ((e + layer) % 4 === kind ? 0.5 : 0));
      const best = Array.from(own, (_, e) => e).sort((a, b) => own[b] - own[a]);
      chosen.set(best.slice(0, TOP_K), i * TOP_K);
    }
    logits.set(layer, values);
    ids.set(layer, chosen);
    weights.set(layer, new Float32Array(SAMPLE * TOP_K).fill(1 / TOP_K));
  }
  return new Map([
    ["router_logits", logits],
    ["expert_ids", ids],
    ["expert_weights", weights],
  ]);
}

async function measure(root) {
  const server = spawn(
    process.execPath,
    [path("../dist/cli/main.js"), "serve", root, "--no-open", "--port", "0"],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  let url = "";
  for await (const line of createInterface(server.stdout)) {
    url = /http:\/\/\S+/.exec(line)?.[0] ?? "";
    if (url) break;
  }
  server.stdout.resume();
  const browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
  try {
    const page = await (await browser.newContext({ viewport: { width: 1440, height: 900 } })).newPage();
    const opened = performance.now();
    await page.goto(`${url}#/tokens`);
    await page.waitForSelector(".heatmap canvas", { timeout: 300_000 });
    // The first picture, from some tokens of each cell; then the one from all.
    const draftMs = performance.now() - opened;
    await page.waitForFunction(() => !document.querySelector("[aria-busy=true]"), null, { timeout: 300_000 });
    const overviewMs = performance.now() - opened;
    await page.focus(".heatmap");
    // A first pass brings the tiles, so that the second one shows the drawing.
    await page.evaluate(moveMap);
    const cdp = await page.context().newCDPSession(page);
    // In time of the thread itself, which does not pass while others have the processor.
    await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
    const before = await busySeconds(cdp);
    const moving = await page.evaluate(moveMap);
    const cpuMs = (1000 * ((await busySeconds(cdp)) - before)) / moving.length;
    const resting = await page.evaluate(frames, 120);
    const late = moving.filter((ms) => ms > 1.5 * median(resting)).length;
    return {
      draftMs: Math.round(draftMs),
      overviewMs: Math.round(overviewMs),
      frames: moving.length,
      frameMs: { moving: round(median(moving), 2), resting: round(median(resting), 2) },
      cpuMsAFrame: round(cpuMs, 2),
      ratio: round(median(moving) / median(resting), 2),
      worstMs: round(Math.max(...moving), 1),
      lateFrames: round(late / moving.length, 3),
    };
  } finally {
    await browser.close();
    server.kill("SIGINT");
    await once(server, "exit");
  }
}

/** What the page's main thread has computed so far. */
async function busySeconds(cdp) {
  const { metrics } = await cdp.send("Performance.getMetrics");
  return metrics.find(({ name }) => name === "TaskDuration").value;
}

/** In the page: zoom in, pan along, zoom out, one key a frame; resolves to the times between frames. */
async function moveMap() {
  const keys = ["w".repeat(14), "d".repeat(60), "a".repeat(60), "s".repeat(14)].join("");
  const map = document.querySelector(".heatmap");
  const times = [];
  let before = await new Promise(requestAnimationFrame);
  for (const key of keys) {
    map.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    const now = await new Promise(requestAnimationFrame);
    times.push(now - before);
    before = now;
  }
  return times;
}

/** In the page: times between frames when nothing happens. */
async function frames(count) {
  const times = [];
  let before = await new Promise(requestAnimationFrame);
  while (times.length < count) {
    const now = await new Promise(requestAnimationFrame);
    times.push(now - before);
    before = now;
  }
  return times;
}
