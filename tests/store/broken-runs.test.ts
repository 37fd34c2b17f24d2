import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { describe, expect, test } from "vitest";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { readManifest } from "../../src/capture/folder/manifest.ts";
import type { WriteBytes } from "../../src/formats/atomic-file.ts";
import { capturePath } from "./folder.ts";
import { drive, syntheticRun } from "./synthetic.ts";

/** 8 rows a shard for the streams of {@link syntheticRun}. */
const SHARD_BYTES = 8 * 193;

const parquetRows = async (folder: string) =>
  parquetReadObjects({ file: await asyncBufferFromFile(join(folder, "rows.parquet")) });

test("a run that fails keeps every row that came, and says what is missing", async () => {
  const folder = await capturePath();
  const run = syntheticRun({ lengths: [6, 6, 6] });
  const sink = new FolderSink(folder, { shardBytes: SHARD_BYTES });
  await sink.open(run.header);
  await sink.write(run.batches[0]!);
  await sink.write(run.batches[1]!);
  const capture = await sink.close({
    finished: [run.finished[0]!],
    error: new Error("the engine is gone"),
  });
  expect(capture.rows.length).toBe(12);
  expect(capture.outputs.map(({ sample }) => sample)).toEqual([0]);
  const manifest = await readManifest(folder);
  expect(manifest.complete).toBe(false);
  expect(manifest.shards.map(({ rows }) => rows)).toEqual([8, 4]);
  expect(manifest.missing).toEqual([
    { sample: 1, from: 6, to: null, why: "the engine is gone" },
    { sample: 2, from: 0, to: null, why: "the engine is gone" },
  ]);
  expect(capture.routerLogits.get(1)!.data).toEqual(
    Float32Array.of(
      ...run.batches[0]!.streams.get("router_logits")!.get(1)!,
      ...run.batches[1]!.streams.get("router_logits")!.get(1)!,
    ),
  );
});

test("a run that is killed leaves its finished shards, the labels in rows.parquet among them", async () => {
  const folder = await capturePath();
  const run = syntheticRun({ lengths: [10, 10] });
  const sink = new FolderSink(folder, { shardBytes: SHARD_BYTES });
  await sink.open(run.header);
  expect((await openCapture(folder)).rows.length).toBe(0);
  for (const batch of run.batches) await sink.write(batch);
  // Never closed: 20 rows came, two shards of 8 are full.
  const capture = await openCapture(folder);
  expect(capture.rows.length).toBe(16);
  expect(capture.rows.text).toHaveLength(16);
  expect(await readManifest(folder)).toMatchObject({ complete: false, missing: [], rows: 16 });
  const rows = await parquetRows(folder);
  expect(rows.map(({ row }) => row)).toEqual(Array.from({ length: 16 }, (_, i) => i));
  expect(rows.map(({ text }) => text)).toEqual(capture.rows.text);
});

describe("a disk that fills up", () => {
  /** Fails as a full disk does from the nth write on, having written half. */
  const fullDisk = (nth: number): { write: WriteBytes; writes: () => number } => {
    let writes = 0;
    const write: WriteBytes = async (file, bytes) => {
      if (++writes < nth) return file.writeFile(bytes);
      await file.writeFile(bytes.subarray(0, bytes.length >> 1));
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    };
    return { write, writes: () => writes };
  };
  const lengths = [6, 7, 6];
  const run = syntheticRun({ lengths });

  test("at any write: an error, whole shards only, and a folder that opens", async () => {
    const counter = fullDisk(Number.POSITIVE_INFINITY);
    await drive(run, new FolderSink(await capturePath(), { shardBytes: SHARD_BYTES }, counter.write));
    const total = counter.writes();
    expect(total).toBeGreaterThan(60);
    for (let nth = 1; nth <= total; nth++) {
      const folder = await capturePath();
      const sink = new FolderSink(folder, { shardBytes: SHARD_BYTES }, fullDisk(nth).write);
      const error = await drive(run, sink).catch((error) => error);
      expect(error).toMatchObject({ name: "CaptureError", code: "STORAGE_FAILED", retryable: true });
      expect(error.message).toContain("the disk is full");
      expect((await readdir(folder)).filter((file) => file.endsWith(".part"))).toEqual([]);
      if (nth === 1) continue; // not even a manifest
      const manifest = await readManifest(folder);
      expect(manifest.complete).toBe(false);
      const capture = await openCapture(folder);
      expect([0, 8, 16, 19]).toContain(capture.rows.length);
      // It may lag behind the shards, and is a whole table all the same.
      const parquet = await parquetRows(folder).catch(() => []);
      expect(parquet.length).toBeGreaterThanOrEqual(0.8 * capture.rows.length);
    }
  });

  test("the manifest names the rows that came and could not be written, also of samples that ended", async () => {
    const folder = await capturePath();
    let full = false;
    const write: WriteBytes = async (file, bytes) => {
      if (full && bytes.length > 10_000) throw Object.assign(new Error("full"), { code: "ENOSPC" });
      await file.writeFile(bytes);
    };
    const run = syntheticRun({ lengths: [600, 500, 5] });
    const sink = new FolderSink(folder, { shardBytes: 900 * 193 }, write);
    await sink.open(run.header);
    await sink.write(run.batches[0]!);
    full = true;
    const error = await sink.write(run.batches[1]!).then(null, (error) => error);
    expect(error).toMatchObject({ code: "STORAGE_FAILED" });
    await expect(sink.write(run.batches[2]!)).rejects.toBe(error);
    const capture = await sink.close({ finished: [run.finished[0]!, run.finished[1]!], error });
    expect(capture.rows.length).toBe(0);
    expect((await readManifest(folder)).missing).toEqual([
      { sample: 0, from: 0, to: 600, why: error.message },
      { sample: 1, from: 0, to: 500, why: error.message },
      { sample: 2, from: 0, to: null, why: error.message },
    ]);
  });
});

describe("folders that are refused", () => {
  const header = syntheticRun().header;
  const refusal = (path: string) => new FolderSink(path).open(header).catch((error) => error);

  test("one that holds a capture", async () => {
    const folder = await capturePath();
    await drive(syntheticRun(), new FolderSink(folder));
    const before = await readFile(join(folder, "manifest.json"), "utf8");
    const error = await refusal(folder);
    expect(error).toMatchObject({ name: "CaptureError", code: "CAPTURE_EXISTS" });
    expect(error.message).toBe(
      `${folder} already holds a capture: name another folder, or remove this one first`,
    );
    expect(await readFile(join(folder, "manifest.json"), "utf8")).toBe(before);
  });

  test("one that holds anything else; an empty one is taken", async () => {
    const folder = await capturePath();
    await mkdir(folder);
    await writeFile(join(folder, "notes.txt"), "mine");
    expect(await refusal(folder)).toMatchObject({ code: "CAPTURE_EXISTS" });
    expect(await readdir(folder)).toEqual(["notes.txt"]);
    await rm(join(folder, "notes.txt"));
    expect(await refusal(folder)).toBe(undefined);
  });

  test("a file, and a path through a file", async () => {
    const path = await capturePath();
    await writeFile(path, "");
    expect(await refusal(path)).toMatchObject({ code: "CAPTURE_EXISTS" });
    const error = await refusal(join(path, "run"));
    expect(error).toMatchObject({ code: "STORAGE_FAILED", retryable: false });
    expect(error.message).toContain("a part of the path is a file");
  });

  // Nobody, not even root, makes a folder there; Node's own recursive mkdir never returns.
  test.runIf(process.platform === "linux")("one on a file system that takes none", async () => {
    expect(await refusal("/proc/self/a/b")).toMatchObject({ code: "STORAGE_FAILED", retryable: false });
  });
});

test("what is no capture folder does not open", async () => {
  const path = await capturePath();
  await expect(openCapture(path)).rejects.toMatchObject({
    name: "CaptureError",
    code: "CAPTURE_INVALID",
    message: `${path} is no capture folder: it has no manifest.json; check the path`,
  });
});
