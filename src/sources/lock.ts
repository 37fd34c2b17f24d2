import { randomUUID } from "node:crypto";
import { mkdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readSmallFile } from "./local-files.ts";

/** How often the owner shows that it lives, and how long without a sign until it counts as dead (two missed and slack). */
const SIGN_MS = 5_000;
const DEAD_MS = 15_000;
/** How often one who waits looks: a download takes minutes. */
const LOOK_MS = 250;

/**
 * Run `work` while no other process (nor another call in this one) runs its own under the same lock file. The lock of a
 * process that died is taken over.
 *
 * Node has no `flock`, so this does not exclude programs that use one; and two who find the same dead owner at the same
 * instant may both go on. It saves double work, and what it guards must come out right without it.
 *
 * @param onWait called while waiting, four times a second.
 */
export async function withLock<T>(
  path: string,
  signal: AbortSignal | undefined,
  onWait: () => void | Promise<void>,
  work: () => Promise<T>,
): Promise<T> {
  const owner = JSON.stringify({ id: randomUUID(), pid: process.pid, host: hostname() });
  await mkdir(dirname(path), { recursive: true });
  while (!(await take(path, owner))) {
    if (await isDead(path)) await rm(path, { force: true });
    else {
      await onWait();
      await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
    }
    signal?.throwIfAborted();
  }
  const sign = setInterval(() => {
    const now = new Date();
    // A lock that cannot be touched is taken over by others, which costs double work and no more.
    utimes(path, now, now).catch(() => {});
  }, SIGN_MS).unref();
  try {
    return await work();
  } finally {
    clearInterval(sign);
    // If it was taken over, it is no longer ours to remove.
    if ((await readSmallFile(path)) === owner) await rm(path, { force: true });
  }
}

async function take(path: string, owner: string): Promise<boolean> {
  try {
    await writeFile(path, owner, { flag: "wx" });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Windows says EPERM while another process removes the file.
    if (code === "EEXIST" || (code === "EPERM" && (await stat(path).catch(() => null)))) return false;
    throw error;
  }
}

async function isDead(path: string): Promise<boolean> {
  const info = await stat(path).catch(() => null);
  if (!info) return false;
  // The clock of a network drive may be off; an owner on this machine is asked for directly.
  const { pid, host } = parseOwner(await readSmallFile(path));
  if (host === hostname() && pid !== undefined && !isRunning(pid)) return true;
  return Date.now() - info.mtimeMs > DEAD_MS;
}

function parseOwner(text: string): { pid?: number; host?: string } {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    // Not written yet.
    return {};
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
