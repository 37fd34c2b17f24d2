import { mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import type { WriteBytes } from "../../src/formats/atomic-file.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { syntheticEngine } from "../hs/synthetic-engine.ts";
import { capturePath } from "./folder.ts";
import { drive, type SyntheticRun, syntheticRun } from "./synthetic.ts";

const SHARD_BYTES = 8 * 193;
const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

/** Permissions of all files in a folder, each once. */
const modesIn = async (folder: string) =>
  new Set(await Promise.all((await readdir(folder)).map((file) => modeOf(join(folder, file)))));

// Windows keeps lists of who may do what, and gives a user's folders to that user.
describe.runIf(process.platform !== "win32")("who may read a capture", () => {
  const run = syntheticRun({ lengths: [8, 10, 2] });
  const umask = 0o022;

  test("this user alone, while it is written and when it is whole", async () => {
    const folder = await capturePath();
    const sink = new FolderSink(folder, { shardBytes: SHARD_BYTES });
    await sink.open(run.header);
    for (const batch of run.batches) await sink.write(batch);
    expect(await modesIn(folder)).toEqual(new Set([0o600]));
    await sink.close({ finished: run.finished });
    expect(await modesIn(folder)).toEqual(new Set([0o600]));
    expect(await modeOf(folder)).toBe(0o700);
    // What is above was not made for the capture alone.
    const deep = join(await capturePath(), "a", "b");
    await drive(run, new FolderSink(deep));
    expect([await modeOf(deep), await modeOf(join(deep, ".."))]).toEqual([0o700, 0o777 & ~process.umask()]);
  });

  test("whoever the umask lets, where that is asked for", async () => {
    const before = process.umask(umask);
    try {
      const folder = await capturePath();
      await drive(run, new FolderSink(folder, { access: "shared" }));
      expect(await modeOf(folder)).toBe(0o755);
      expect(await modesIn(folder)).toEqual(new Set([0o644]));
    } finally {
      process.umask(before);
    }
  });

  test("a folder that is there keeps its permissions", async () => {
    const folder = await capturePath();
    await mkdir(folder, { mode: 0o750 });
    await drive(run, new FolderSink(folder));
    expect(await modeOf(folder)).toBe(0o750);
    expect(await modesIn(folder)).toEqual(new Set([0o600]));
  });

  test.each(["private", "shared"] as const)("a resumed run goes on as the folder was: %s", async (access) => {
    const before = process.umask(umask);
    try {
      const folder = await capturePath();
      const engine = syntheticEngine();
      const failing = LanguageModel.of({
        ...engine,
        async *run(...args: Parameters<typeof engine.run>) {
          let left = 5;
          for await (const step of engine.run(...args)) {
            if (left-- === 0) throw new Error("the engine is gone");
            yield step;
          }
        },
      });
      const into = new FolderSink(folder, { shardBytes: 600, access });
      await expect(failing.capture(["the router", "sends", "it"], { into, maxTokens: 4 })).rejects.toThrow(
        "gone",
      );
      await LanguageModel.of(engine).resume(folder);
      expect(await modesIn(folder)).toEqual(new Set([access === "private" ? 0o600 : 0o644]));
    } finally {
      process.umask(before);
    }
  });
});

/** What a run ends with whose sink fails. */
async function broken({ header, batches, finished }: SyntheticRun, sink: FolderSink): Promise<Error> {
  try {
    await sink.open(header);
  } catch (error) {
    return error as Error;
  }
  try {
    for (const batch of batches) await sink.write(batch);
  } catch (error) {
    await sink.close({ finished: [], error });
    return error as Error;
  }
  return sink.close({ finished }).then(
    () => new Error("it did not fail"),
    (error) => error,
  );
}

describe("a disk that fails", () => {
  test.each([
    ["EIO", "the system says: EIO: i/o error", false],
    ["ENOSPC", "the disk is full", true],
    ["EDQUOT", "the disk quota is used up", true],
  ])("%s at any write: an error that says so, and a folder that opens", async (code, words, retryable) => {
    const run = syntheticRun({ lengths: [8, 10, 2] });
    let writes = 0;
    const failingFrom =
      (nth: number): WriteBytes =>
      async (file, bytes) => {
        if (++writes < nth) return file.writeFile(bytes);
        throw Object.assign(new Error(`${code}: i/o error, write`), { code });
      };
    await drive(run, new FolderSink(await capturePath(), { shardBytes: SHARD_BYTES }, failingFrom(Infinity)));
    const total = writes;
    for (let nth = 1; nth <= total; nth += 3) {
      writes = 0;
      const folder = await capturePath();
      const sink = new FolderSink(folder, { shardBytes: SHARD_BYTES }, failingFrom(nth));
      const error = await broken(run, sink);
      expect(error).toMatchObject({ name: "CaptureError", code: "STORAGE_FAILED", retryable });
      expect(error.message).toContain(words);
      // Prompts come first; without a manifest there is nothing to open.
      const names = await readdir(folder);
      expect(names.filter((name) => name.endsWith(".part") || name.startsWith(".lock"))).toEqual([]);
      if (names.includes("manifest.json"))
        expect([0, 8, 16, 20]).toContain((await openCapture(folder)).rows.length);
    }
  });
});

test("a folder that is moved while it is written: an error, and nothing is written where it was", async () => {
  const run = syntheticRun({ lengths: [8, 8, 8] });
  const folder = await capturePath();
  const sink = new FolderSink(folder, { shardBytes: SHARD_BYTES });
  await sink.open(run.header);
  await sink.write(run.batches[0]!);
  await rename(folder, `${folder}-moved`);
  const error = await sink.write(run.batches[1]!).then(
    () => null,
    (error) => error,
  );
  expect(error).toMatchObject({ code: "STORAGE_FAILED" });
  await expect(sink.close({ finished: [], error })).rejects.toMatchObject({ name: "CaptureError" });
  await expect(stat(folder)).rejects.toMatchObject({ code: "ENOENT" });
  const moved = await openCapture(`${folder}-moved`);
  expect([moved.rows.length, moved.complete]).toEqual([8, false]);
});

test("a folder that takes the place of one that is moved keeps what it has", async () => {
  const run = syntheticRun({ lengths: [8, 8, 8] });
  const folder = await capturePath();
  const sink = new FolderSink(folder, { shardBytes: SHARD_BYTES });
  await sink.open(run.header);
  await sink.write(run.batches[0]!);
  await rename(folder, `${folder}-moved`);
  await mkdir(folder);
  await writeFile(join(folder, "notes.txt"), "mine");
  await expect(sink.write(run.batches[1]!)).rejects.toMatchObject({ code: "STORAGE_FAILED" });
  expect(await readFile(join(folder, "notes.txt"), "utf8")).toBe("mine");
});
