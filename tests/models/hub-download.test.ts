import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { DownloadProgress } from "../../src/sources/resolved-model.ts";
import {
  blobs,
  expectContent,
  FILES,
  home,
  hub,
  incomplete,
  leaveIncomplete,
  OLMOE,
  part,
  QWEN,
  ranges,
  resolve,
  snapshot,
  waits,
} from "./hub-home.ts";
import { etagOf } from "./hub-server.ts";

describe("a cut download", () => {
  test("goes on where it was, in the same call", async () => {
    hub.cuts = [1, 70_000, 100_000];
    const { path } = await resolve("org/repo:Q4_K_M");
    await expectContent(path, OLMOE);
    expect(ranges()).toEqual([undefined, "bytes=1-", "bytes=70001-", "bytes=170001-"]);
    expect(hub.sent).toBe(OLMOE.length);
    // Every try brought something, so none was waited for longer.
    expect(waits).toEqual([500, 500, 500]);
  });

  test("goes on when the server only fell silent", async () => {
    hub.cuts = [30_000];
    hub.hang = true;
    const { path } = await resolve("org/repo:Q4_K_M", { silenceMs: 1000 });
    await expectContent(path, OLMOE);
    expect(ranges()).toEqual([undefined, "bytes=30000-"]);
  });

  test("is given up after five tries without a byte, and goes on in the next call", async () => {
    hub.cuts = [50_000, 0, 0, 0, 0];
    await expect(resolve("org/repo:Q4_K_M")).rejects.toMatchObject({
      name: "ModelError",
      code: "MODEL_DOWNLOAD_FAILED",
      retryable: true,
      message: expect.stringContaining("Try again: what has arrived is kept"),
    });
    expect(waits).toEqual([500, 1000, 2000, 4000]);
    expect(await readFile(incomplete(OLMOE))).toEqual(OLMOE.subarray(0, 50_000));
    const bytes: number[] = [];
    const { path } = await resolve("org/repo:Q4_K_M", { onProgress: (each) => bytes.push(each.bytes) });
    await expectContent(path, OLMOE);
    expect(bytes[0]).toBe(50_000);
    expect(hub.sent).toBe(OLMOE.length);
  });

  test("goes on after what Python left", async () => {
    await leaveIncomplete(OLMOE, OLMOE.subarray(0, 12_345));
    await resolve("org/repo:Q4_K_M");
    expect(ranges()).toEqual(["bytes=12345-"]);
    expect(await blobs()).toEqual([etagOf(FILES[1]!)]);
  });

  test("that had everything but its name asks for nothing", async () => {
    await leaveIncomplete(OLMOE, OLMOE);
    await resolve("org/repo:Q4_K_M");
    expect(hub.sent).toBe(0);
  });

  test("ends right with a server that ignores ranges", async () => {
    hub.ignoreRange = true;
    hub.cuts = [60_000, 150_000];
    const { path } = await resolve("org/repo:Q4_K_M");
    await expectContent(path, OLMOE);
    expect(hub.sent).toBe(60_000 + 150_000 + OLMOE.length);
  });

  test("is not continued with bytes from another place", async () => {
    hub.wrongRange = true;
    await leaveIncomplete(OLMOE, OLMOE.subarray(0, 1000));
    await expect(resolve("org/repo:Q4_K_M")).rejects.toThrow("the server sends something else");
    expect(await readFile(incomplete(OLMOE))).toEqual(OLMOE.subarray(0, 1000));
  });

  test("is thrown away and begun again when what was left is damaged or too long", async () => {
    await leaveIncomplete(OLMOE, Buffer.alloc(1000));
    await expectContent((await resolve("org/repo:Q4_K_M")).path, OLMOE);
    expect(ranges()).toEqual(["bytes=1000-", undefined]);
    await leaveIncomplete(QWEN, Buffer.alloc(QWEN.length + 1));
    await resolve("org/repo:Q8_0");
    await expectContent(snapshot(part(2)), QWEN);
  });
});

test("a wrong checksum is an error and leaves nothing", async () => {
  hub.files = [{ path: "m-Q4_K_M.gguf", content: OLMOE, claim: "e".repeat(64) }];
  await expect(resolve("org/repo")).rejects.toMatchObject({
    code: "MODEL_DOWNLOAD_FAILED",
    message: expect.stringContaining("arrived with a wrong checksum (expected eeee"),
  });
  expect(await blobs()).toEqual([]);
  await expect(stat(snapshot("m-Q4_K_M.gguf"))).rejects.toThrow("ENOENT");
});

describe("stopping", () => {
  test("keeps what has arrived", async () => {
    const stop = new AbortController();
    const onProgress = ({ bytes }: DownloadProgress) => {
      if (bytes > 0) stop.abort(new Error("enough"));
    };
    await expect(resolve("org/repo:Q4_K_M", { signal: stop.signal, onProgress })).rejects.toThrow("enough");
    const { size } = await stat(incomplete(OLMOE));
    expect(size).toBeGreaterThan(0);
    await resolve("org/repo:Q4_K_M");
    if (size < OLMOE.length) expect(ranges().at(-1)).toBe(`bytes=${size}-`);
  });

  test("before it began asks nobody", async () => {
    await expect(resolve("org/repo", { signal: AbortSignal.abort() })).rejects.toThrow(/abort/);
    expect(hub.seen.length).toBe(0);
  });
});

test("a disk that is too small is noticed before the download", async () => {
  await leaveIncomplete(OLMOE, OLMOE.subarray(0, 9_088));
  const full = { freeBytes: async () => 150_000 };
  await expect(resolve("org/repo:Q4_K_M", full)).rejects.toMatchObject({
    code: "MODEL_DOWNLOAD_FAILED",
    message: expect.stringMatching(
      /^0\.2 MB are to be downloaded and 0\.1 MB are free in .*models--org--repo/,
    ),
  });
  expect(hub.sent).toBe(0);
  // What is here already needs no room.
  await resolve("org/repo:Q4_K_M", { freeBytes: async () => 200_000 });
});

test("a cache that cannot be written to", async () => {
  await writeFile(join(home, "file"), "");
  await expect(
    resolve("org/repo:Q4_K_M", { env: { HF_HUB_CACHE: join(home, "file") } }),
  ).rejects.toMatchObject({
    code: "MODEL_DOWNLOAD_FAILED",
    message: expect.stringContaining("set HF_HOME to another folder"),
  });
});
