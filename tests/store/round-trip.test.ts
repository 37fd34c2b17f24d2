import { readdir } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { readManifest } from "../../src/capture/folder/manifest.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import { capturePath } from "./folder.ts";
import { drive, type SyntheticOptions, syntheticRun } from "./synthetic.ts";

/** Everything a capture says, with the bits of every tensor. */
function contents(capture: Capture) {
  const { rows, samples, outputs, engine } = capture;
  return {
    engine,
    samples,
    outputs,
    rows: {
      sample: rows.sample,
      position: rows.position,
      tokenId: rows.tokenId,
      phase: rows.phase,
      text: rows.text,
      label: rows.label,
    },
    streams: capture.streams.map((name) => [
      name,
      [...capture.stream(name)].map(([layer, { type, dims, data }]) => [
        layer,
        type,
        dims,
        Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex"),
      ]),
    ]),
  };
}

const cases: Record<string, SyntheticOptions & { shardBytes?: number; shards: number }> = {
  "one shard": { shards: 1 },
  "several shards, cut inside batches": { lengths: [7, 9, 4], shardBytes: 1200, shards: 4 },
  "a shard a row": { lengths: [3, 2], shardBytes: 1, shards: 5 },
  "interleaved samples": { lengths: [5, 9, 2], interleaved: 1, shards: 1 },
  "interleaved samples in several shards": {
    lengths: [11, 9, 2],
    interleaved: 2,
    shardBytes: 1200,
    shards: 4,
  },
  "samples without rows": { lengths: [0, 3, 0, 2, 0], shards: 1 },
  "no rows at all": { lengths: [0, 0], shards: 0 },
  "300 experts": { experts: 300, lengths: [40], shards: 1 },
  "256 experts": { experts: 256, lengths: [200], shards: 1 },
  "streams of several axes": {
    streams: [
      "expert_outputs",
      "shared_expert_output",
      "attention",
      "attention_keys",
      "activation:Qcur_normed",
    ],
    lengths: [5, 9, 2],
    interleaved: 2,
    shardBytes: 2000,
    shards: 8,
  },
  "a dense model": { moeLayers: [], shards: 1 },
  "only streams without layers": { moeLayers: [], streams: ["router_logits"], shards: 1 },
};

describe("a capture in a folder equals the one in memory", () => {
  for (const [name, { shardBytes, shards, ...options }] of Object.entries(cases))
    test(name, async () => {
      const folder = await capturePath();
      const run = syntheticRun(options);
      const expected = contents(await drive(run, new MemorySink()));
      const closed = await drive(run, new FolderSink(folder, shardBytes ? { shardBytes } : {}));
      expect(contents(closed)).toEqual(expected);
      const opened = await openCapture(folder);
      expect(contents(opened)).toEqual(expected);
      const { sha256, ...model } = opened.model as typeof opened.model & { sha256?: unknown };
      expect(model).toEqual(run.header.model);
      const manifest = await readManifest(folder);
      expect(manifest.complete).toBe(true);
      expect(manifest.shards).toHaveLength(shards);
      expect(manifest.model.sha256).toBe(null);
      expect((await readdir(folder)).filter((file) => file.startsWith("."))).toEqual([]);
    });
});

test.each([null, 2])(
  "parts of a capture: samples and ranges of rows, interleaved by %s",
  async (interleaved) => {
    const run = syntheticRun({ lengths: [6, 0, 8, 5], interleaved });
    const memory = await drive(run, new MemorySink());
    const folder = await drive(run, new FolderSink(await capturePath(), { shardBytes: 900 }));
    for (const sample of [0, 1, 2, 3])
      expect(contents(folder.sample(sample))).toEqual(contents(memory.sample(sample)));
    for (let from = 0; from <= 19; from += 3)
      for (let to = from; to <= 19; to += 4)
        expect(folder.routerLogits.rows(3, from, to)).toEqual(memory.routerLogits.rows(3, from, to));
    expect(folder.routerLogits.width(3)).toBe(8);
  },
);

test("ids are stored in the fewest bytes, floats as they are", async () => {
  const dtypesOf = async (experts: number) => {
    const folder = await capturePath();
    await drive(syntheticRun({ experts }), new FolderSink(folder));
    const { streams } = await readManifest(folder);
    return [streams.expert_ids?.dtype, streams.router_logits?.dtype, streams.router_logits?.axes];
  };
  expect(await dtypesOf(256)).toEqual(["U8", "F32", ["rows", "experts"]]);
  expect(await dtypesOf(257)).toEqual(["U16", "F32", ["rows", "experts"]]);
});

test("a shard holds no more than its bytes", async () => {
  const folder = await capturePath();
  const shardBytes = 2000;
  await drive(syntheticRun({ lengths: [50] }), new FolderSink(folder, { shardBytes }));
  const { shards } = await readManifest(folder);
  // Per row: 13 of labels, 2 MoE layers of 8 logits, 2 ids (a byte each) and 2 weights, 4 layers of 6 hidden values.
  const rowBytes = 13 + 2 * (8 * 4 + 2 + 2 * 4) + 4 * 6 * 4;
  expect(shards.map(({ rows }) => rows)).toEqual([10, 10, 10, 10, 10]);
  expect(Math.floor(shardBytes / rowBytes)).toBe(10);
  expect(shards[1]).toEqual({
    firstRow: 10,
    rows: 10,
    files: {
      rows: "rows-00001.safetensors",
      router_logits: "router_logits-00001.safetensors",
      expert_ids: "expert_ids-00001.safetensors",
      expert_weights: "expert_weights-00001.safetensors",
      hidden_states: "hidden_states-00001.safetensors",
    },
  });
});

test("the batches may be used again as soon as write returns", async () => {
  const run = syntheticRun({ lengths: [20, 20] });
  const expected = contents(await drive(run, new MemorySink()));
  const again = syntheticRun({ lengths: [20, 20] });
  const sink = new FolderSink(await capturePath());
  await sink.open(again.header);
  for (const batch of again.batches) {
    await sink.write(batch);
    batch.sample.fill(-1);
    for (const layers of batch.streams.values()) for (const data of layers.values()) data.fill(7);
  }
  expect(contents(await sink.close({ finished: again.finished }))).toEqual(expected);
});

test("an expert id that does not fit its bytes is refused", async () => {
  const run = syntheticRun({ experts: 8 });
  run.batches[0]!.streams.get("expert_ids")!.get(1)![0] = 256;
  await expect(drive(run, new FolderSink(await capturePath()))).rejects.toThrow("expert id 256");
});
