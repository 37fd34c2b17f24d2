import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import { compareCaptures } from "../../src/analysis/compare/compare-captures.ts";
import { measures } from "../../src/analysis/measures/registry.ts";
import { Capture } from "../../src/capture/capture.ts";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import type { CaptureSource } from "../../src/capture/source.ts";
import { drive, syntheticRun } from "../store/synthetic.ts";

const folder = mkdtempSync(join(tmpdir(), "moescope-reads-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A stored capture, and how often each value of it is read: by stream and layer, a count per row. */
async function counted(name: string, streams?: Parameters<typeof syntheticRun>[0]) {
  const path = join(folder, name);
  await drive(
    syntheticRun({ lengths: [900, 1200, 1500, 2100, 40, 3, 800, 700, 1000], interleaved: 5, ...streams }),
    new FolderSink(path, { shardBytes: 1 << 18 }),
  );
  const capture = await openCapture(path);
  const rowsRead = new Map<string, Uint8Array>();
  const source = sourceOf(capture, (stream, layer, from, to) => {
    const key = `${stream}.${layer}`;
    const times = rowsRead.get(key) ?? new Uint8Array(capture.rows.length);
    for (let row = from; row < to; row++) times[row]!++;
    rowsRead.set(key, times);
  });
  return { capture: Capture.of(source), rowsRead, rows: capture.rows.length };
}

type OnRead = (stream: string, layer: number, from: number, to: number) => void;

/** A source in this process that tells what is read of a capture. */
function sourceOf(capture: Capture, onRead: OnRead): CaptureSource {
  const { rows } = capture;
  return {
    header: { engine: capture.engine, model: capture.model, samples: capture.samples },
    labels: {
      sample: rows.sample,
      position: rows.position,
      tokenId: rows.tokenId,
      phase: Uint8Array.from(rows.phase, (phase) => (phase === "prompt" ? 0 : 1)),
    },
    finished: capture.outputs,
    complete: capture.complete,
    missing: capture.missing,
    dropped: capture.dropped,
    reduce: capture.reduce,
    promptTokens: (sample) => capture.promptTokens(sample),
    origin: null,
    streams: capture.streams.map((name) => ({ name, layers: [...capture.stream(name).keys()] })),
    tokenText: (id) => capture.tokenText(id),
    dims: (stream, layer) => capture.stream(stream).rowDims(layer),
    read(stream, layer, from, to) {
      onRead(stream, layer, from, to);
      return capture.stream(stream).rows(layer, from, to).data;
    },
  };
}

const once = (times: Uint8Array) => times.every((n) => n === 1);
const keys = (rowsRead: ReadonlyMap<string, Uint8Array>) => [...rowsRead.keys()].sort();

describe("an analysis reads each value once", () => {
  test("for all measures together", async () => {
    const { capture, rowsRead } = await counted("all");
    await analyzeCapture(capture, { permutations: 9 });
    // Layers 1 and 3 have a router; the probe reads the state of the layer before each.
    expect(keys(rowsRead)).toEqual([
      "expert_ids.1",
      "expert_ids.3",
      "expert_weights.1",
      "expert_weights.3",
      "hidden_states.0",
      "hidden_states.2",
      "router_logits.1",
      "router_logits.3",
    ]);
    for (const [key, times] of rowsRead) expect([key, once(times)]).toEqual([key, true]);
  });

  test("where only the logits tell what was chosen", async () => {
    const { capture, rowsRead } = await counted("logits", { streams: ["router_logits"] });
    await analyzeCapture(capture, { permutations: 9 });
    expect(keys(rowsRead)).toEqual(["router_logits.1", "router_logits.3"]);
    for (const times of rowsRead.values()) expect(once(times)).toBe(true);
  });

  test("and nothing that the measures asked for do not need", async () => {
    const { capture, rowsRead } = await counted("some");
    await analyzeCapture(capture, { measures: ["balance", "flows", "specializedExperts"], permutations: 9 });
    expect(keys(rowsRead)).toEqual(["expert_ids.1", "expert_ids.3", "expert_weights.1", "expert_weights.3"]);
    rowsRead.clear();
    const { layers } = await analyzeCapture(capture, { measures: ["coactivation"] });
    expect(keys(rowsRead)).toEqual(["expert_ids.1", "expert_ids.3"]);
    expect(Object.keys(layers[0]!).sort()).toEqual(["coactivation", "layer", "rows"]);
    rowsRead.clear();
    await analyzeCapture(capture, { measures: ["entropy"], layers: [3] });
    expect(keys(rowsRead)).toEqual(["router_logits.3"]);
  });

  test("on threads, where nothing is opened again: all files but those of the values may be gone", async () => {
    const { capture } = await counted("threads");
    const path = join(folder, "threads");
    const stored = await openCapture(path);
    for (const file of ["manifest.json", "rows.parquet"]) rmSync(join(path, file), { force: true });
    const options = { permutations: 9, threads: 2 };
    const onThreads = await analyzeCapture(stored, options);
    expect(onThreads).toEqual(await analyzeCapture(capture, options));
    const two = { ...options, labels: ["label 0"] };
    expect(await analyzeCapture(stored, two)).toEqual(await analyzeCapture(capture, two));
    // Samples of samples.
    const some = (of: Capture) => of.only([1, 3, 4, 6, 8]).only([8, 3, 6, 1]);
    expect(await analyzeCapture(some(stored), options)).toEqual(await analyzeCapture(some(capture), options));
  });
});

test("a comparison reads each value once", async () => {
  const { capture, rowsRead } = await counted("compared");
  const ofLogits = new Map<string, number>();
  const source = sourceOf(capture, (stream, layer, from, to) => {
    const key = `${stream}.${layer}`;
    ofLogits.set(key, (ofLogits.get(key) ?? 0) + to - from);
  });
  const logits = source.streams.filter(({ name }) => name === "router_logits");
  compareCaptures(capture, Capture.of({ ...source, streams: logits }), { permutations: 9 });
  const rows = capture.rows.length;
  expect([...ofLogits]).toEqual([
    ["router_logits.1", rows],
    ["router_logits.3", rows],
  ]);
  // The second reads through the first, whose own reads are one of each stream.
  for (const [key, times] of rowsRead)
    expect([key, times.every((n) => n === (key.startsWith("router_logits") ? 2 : 1))]).toEqual([key, true]);
});

test("asked-for measures are what the whole analysis has", async () => {
  const { capture } = await counted("subset");
  const all = await analyzeCapture(capture, { permutations: 19 });
  const some = await analyzeCapture(capture, { permutations: 19, measures: ["positions", "flows"] });
  expect(some.flows).toEqual(all.flows);
  expect(some.layers.map(({ positions }) => positions)).toEqual(all.layers.map(({ positions }) => positions));
  expect(Object.keys(measures)).toContain("positions");
});
