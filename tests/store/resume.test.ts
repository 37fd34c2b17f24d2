import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { describe, expect, test } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import { lockFolder } from "../../src/capture/folder/folder-lock.ts";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { readManifest } from "../../src/capture/folder/manifest.ts";
import type { Engine } from "../../src/core/engine.ts";
import type { RowSelection } from "../../src/core/row-selection.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { storedRun } from "../../src/run/stored-run.ts";
import { MODEL, syntheticEngine } from "../hs/synthetic-engine.ts";
import { expectSameRows } from "./capture-contents.ts";
import { capturePath } from "./folder.ts";

const PROMPTS = ["the router", "sends", { prompt: "each token", label: "a" }, "to", "its experts"];
const OPTIONS = { maxTokens: 4, seed: 7, temperature: 0.5, stop: ["never"] };
/** About 6 rows. */
const SHARD_BYTES = 600;

/** Fails after some steps, and counts the requests it was given. */
function failing(steps: number, requests: number[] = []): LanguageModel {
  const engine = syntheticEngine();
  return LanguageModel.of({
    ...engine,
    settings: { contextSize: 1024 },
    async *run(...args: Parameters<Engine["run"]>) {
      requests.push(args[0].length);
      let left = steps;
      for await (const step of engine.run(...args)) {
        if (left-- === 0) throw new Error("the engine is gone");
        yield step;
      }
    },
  });
}

const whole = failing(Number.POSITIVE_INFINITY);

async function broken(steps: number, select: RowSelection = {}): Promise<string> {
  const folder = await capturePath();
  const into = new FolderSink(folder, { shardBytes: SHARD_BYTES });
  const run = failing(steps).capture(PROMPTS, { ...OPTIONS, select, into });
  await expect(run).rejects.toThrow("the engine is gone");
  return folder;
}

async function expectWhole(resumed: Capture, folder: string, select: RowSelection = {}): Promise<void> {
  const unbroken = await whole.capture(PROMPTS, { ...OPTIONS, select });
  for (const capture of [resumed, await openCapture(folder)]) {
    expect(capture.complete).toBe(true);
    expect(capture.missing).toEqual([]);
    expect(capture.rows.length).toBe(unbroken.rows.length);
    expectSameRows(capture, unbroken, 0);
    expect(capture.outputs).toEqual(unbroken.outputs);
  }
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(join(folder, "rows.parquet")) });
  const key = ({ sample, position }: Record<string, unknown>) => `${sample}:${position}`;
  expect(rows.map(({ row }) => row)).toEqual([...rows.keys()]);
  expect(new Set(rows.map(key)).size).toBe(unbroken.rows.length);
  expect(rows.length).toBe(unbroken.rows.length);
  const named = (await readManifest(folder)).shards.flatMap(({ files }) => Object.values(files));
  expect((await readdir(folder)).sort()).toEqual(
    [...named, "manifest.json", "prompts.safetensors", "rows.parquet"].sort(),
  );
}

describe("a run that broke off", () => {
  test("at any step goes on, and ends like an unbroken one", async () => {
    for (const steps of [0, 1, 3, 6, 10, 14, 17, 19]) {
      const folder = await broken(steps);
      await expectWhole(await whole.resume(folder), folder);
    }
  });

  test("twice", async () => {
    const folder = await broken(13);
    await expect(failing(3).resume(folder)).rejects.toThrow("the engine is gone");
    expect((await openCapture(folder)).complete).toBe(false);
    await expectWhole(await whole.resume(folder), folder);
  });

  test("runs again only the samples that did not end", async () => {
    const folder = await broken(17);
    const ended = (await openCapture(folder)).outputs.length;
    expect(ended).toBeGreaterThan(0);
    const requests: number[] = [];
    await failing(Number.POSITIVE_INFINITY, requests).resume(folder);
    expect(requests).toEqual([PROMPTS.length - ended]);
  });

  test.each([[{ last: 2 }], [{ phase: "generated" }], [{ positions: [1, 3] }]] as const)(
    "with select %o",
    async (select) => {
      for (const steps of [4, 11, 18]) {
        const folder = await broken(steps, select);
        await expectWhole(await whole.resume(folder), folder, select);
      }
    },
  );

  test("a folder that is complete is opened", async () => {
    const folder = await capturePath();
    await whole.capture(PROMPTS, { ...OPTIONS, into: folder });
    const requests: number[] = [];
    expect((await failing(0, requests).resume(folder)).complete).toBe(true);
    expect(requests).toEqual([]);
  });

  test("another model is refused, and the folder stays as it was", async () => {
    const folder = await broken(9);
    const before = await readFile(join(folder, "manifest.json"), "utf8");
    const other = LanguageModel.of(syntheticEngine({ ...MODEL, name: "other", parameters: 7 }));
    await expect(other.resume(folder)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(/was captured from synthetic .* is other .*load the same file/),
    });
    expect(await readFile(join(folder, "manifest.json"), "utf8")).toBe(before);
    // Where it lies does not matter.
    const moved = LanguageModel.of(syntheticEngine({ ...MODEL, source: "elsewhere.gguf" }));
    await expectWhole(await moved.resume(folder), folder);
  });

  test("a folder that does not say how it was made is refused", async () => {
    const folder = await broken(9);
    const { run: _, ...manifest } = await readManifest(folder);
    await writeFile(join(folder, "manifest.json"), JSON.stringify(manifest));
    await expect(whole.resume(folder)).rejects.toThrow("does not say how its rows were made");
  });

  test("prompts of another folder are refused", async () => {
    const folder = await broken(9);
    await rm(join(folder, "prompts.safetensors"));
    await expect(whole.resume(folder)).rejects.toMatchObject({ code: "CAPTURE_INVALID" });
  });

  test("says how it was asked for", async () => {
    const run = await storedRun(await broken(3, { phase: "prompt" }));
    expect(run).toMatchObject({ complete: false, settings: { contextSize: 1024 } });
    expect(run.options).toMatchObject({ ...OPTIONS, layers: [1, 3], select: { phase: "prompt" } });
    expect(run.prompts.map((tokens) => Buffer.from(tokens).toString())).toEqual(
      PROMPTS.map((prompt) => (typeof prompt === "string" ? prompt : prompt.prompt)),
    );
  });
});

describe("two writers of one folder", () => {
  const lock = (changes: object) => ({ pid: process.pid, start: null, host: hostname(), ...changes });

  test("the second is refused while the first lives", async () => {
    const folder = await broken(5);
    for (const owner of [lock({}), lock({ host: "another-machine", pid: 1 })]) {
      await writeFile(join(folder, ".lock"), JSON.stringify(owner));
      const inUse = { code: "CAPTURE_IN_USE", retryable: true };
      await expect(whole.resume(folder)).rejects.toMatchObject(inUse);
      await expect(whole.capture("a", { into: folder })).rejects.toMatchObject(inUse);
    }
    await expect(whole.resume(folder)).rejects.toThrow(/process 1 on another-machine .*remove .*\.lock/);
  });

  test("a lock whose process is gone does not count", async () => {
    // Beyond any system's process ids, and this process's id with the start of another one.
    const gone = [lock({ pid: 2 ** 30 }), ...(process.platform === "linux" ? [lock({ start: "1" })] : [])];
    for (const owner of gone) {
      const folder = await broken(5);
      await writeFile(join(folder, ".lock"), JSON.stringify(owner));
      await expectWhole(await whole.resume(folder), folder);
    }
  });

  test.each([
    ["made and not written", ".lock", ""],
    ["half written", ".lock", '{"pid":'],
    ["being made", `.lock.${process.pid}`, JSON.stringify(lock({}))],
    ["being taken away", `.lock.${2 ** 30}-0`, JSON.stringify(lock({ pid: 2 ** 30 }))],
  ])("a lock that a killed process left %s does not count", async (_, name, text) => {
    const folder = await broken(5);
    await writeFile(join(folder, name), text);
    await expectWhole(await whole.resume(folder), folder);
    const free = await capturePath();
    await mkdir(free);
    await writeFile(join(free, name), text);
    expect((await whole.capture("a", { into: free })).complete).toBe(true);
  });

  test("of many that begin at once, one gets the folder", async () => {
    for (const stale of [null, "", JSON.stringify(lock({ pid: 2 ** 30 }))]) {
      const folder = await capturePath();
      await mkdir(folder);
      if (stale !== null) await writeFile(join(folder, ".lock"), stale);
      const locks = await Promise.allSettled(Array.from({ length: 20 }, () => lockFolder(folder)));
      const refused = locks.flatMap((result) => (result.status === "rejected" ? [result.reason.code] : []));
      expect(new Set(refused)).toEqual(new Set(["CAPTURE_IN_USE"]));
      expect(refused).toHaveLength(19);
      expect(await readdir(folder)).toEqual([".lock"]);
    }
  });

  test("a folder whose run was killed before its first manifest is free", async () => {
    const folder = await broken(0);
    await rm(join(folder, "manifest.json"));
    await rm(join(folder, "rows.parquet"));
    await writeFile(join(folder, ".lock"), JSON.stringify(lock({ pid: 2 ** 30 })));
    expect((await whole.capture("a", { into: folder })).complete).toBe(true);
  });

  test("an incomplete folder is not overwritten, and the error says what to do", async () => {
    const folder = await broken(5);
    await expect(whole.capture("a", { into: folder })).rejects.toThrow(
      `${folder} holds a capture that is not complete: resume it`,
    );
  });
});
