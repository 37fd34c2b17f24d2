import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isLockFile, writerOf } from "../../capture/folder/folder-lock.ts";

/** A folder is locked right after it is made; one without a lock that is older than this (ms) is a killed server's. */
const UNLOCKED_MS = 60_000;

/**
 * Take away what servers left that were killed: folders of this user whose lock nobody holds. Whatever else goes by
 * such a name, a link or another user's folder, is left alone.
 */
export async function sweepRecordings(parent: string, prefix: string): Promise<void> {
  const names = await readdir(parent).catch(() => []);
  for (const name of names)
    if (name.startsWith(prefix) && (await isLeft(join(parent, name))))
      await rm(join(parent, name), { recursive: true, force: true }).catch(() => {});
}

async function isLeft(folder: string): Promise<boolean> {
  const found = await lstat(folder).catch(() => null);
  if (!found?.isDirectory() || found.uid !== (process.getuid?.() ?? found.uid)) return false;
  const names = await readdir(folder).catch(() => []);
  if (!names.some(isLockFile)) return Date.now() - found.mtimeMs > UNLOCKED_MS;
  return (await writerOf(folder)) === null;
}
