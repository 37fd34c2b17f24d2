import { spawnSync } from "node:child_process";
import { readdir, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, expect, test } from "vitest";
import { withLock } from "../../src/sources/lock.ts";
import { temporaryFolder } from "./temporary-folder.ts";

let path: string;

beforeEach(async () => {
  path = join(await temporaryFolder(), "locks", "x.lock");
});

const lock = <T>(work: () => Promise<T>, onWait = () => {}, signal?: AbortSignal) =>
  withLock(path, signal, onWait, work);

test("one after the other, and nothing is left", async () => {
  let inside = 0;
  const work = async () => {
    expect(++inside).toBe(1);
    await sleep(30);
    inside--;
    return "done";
  };
  expect(await Promise.all([lock(work), lock(work), lock(work)])).toEqual(["done", "done", "done"]);
  expect(await readdir(dirname(path))).toEqual([]);
});

test("is given back when the work fails", async () => {
  await expect(lock(async () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await lock(async () => 1)).toBe(1);
});

test("who waits can be stopped", async () => {
  const stop = new AbortController();
  await lock(async () => {
    const waiting = lock(
      async () => expect.unreachable(),
      () => stop.abort(new Error("enough")),
      stop.signal,
    );
    await expect(waiting).rejects.toThrow("enough");
  });
});

test("the lock of a process that is gone is taken over", async () => {
  await lock(async () => {});
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  await writeFile(path, JSON.stringify({ id: "x", pid, host: hostname() }));
  expect(
    await lock(
      async () => 1,
      () => expect.unreachable(),
    ),
  ).toBe(1);
});

test("the lock of another machine is taken over when it gave no sign of life for long", async () => {
  await lock(async () => {});
  await writeFile(path, JSON.stringify({ id: "x", pid: process.pid, host: "elsewhere" }));
  let waits = 0;
  const onWait = async () => {
    if (++waits === 2) await utimes(path, new Date(0), new Date(0));
  };
  expect(await withLock(path, undefined, onWait, async () => waits)).toBe(2);
});

test("what was taken over is not removed by its old owner", async () => {
  await lock(async () => writeFile(path, "another's"));
  expect(await readdir(dirname(path))).toEqual(["x.lock"]);
});
