import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { ModelError } from "../core/errors.ts";

/** What the system's error codes say. */
const REASONS: Record<string, string> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EACCES: "no permission",
  EPERM: "no permission",
  EROFS: "the file system is read-only",
  EFBIG: "a file of that size does not fit this file system or the limit of this shell (ulimit -f)",
  EMFILE: "this process has too many open files",
};

/** An error of the file system as one that says what to do; any other error as it is. */
export function storageError(error: unknown, folder: string): unknown {
  if (!(error instanceof Error)) return error;
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  // Only what a system call reports has both; our own errors have a code too.
  if (typeof code !== "string" || syscall === undefined) return error;
  return new ModelError(
    "MODEL_DOWNLOAD_FAILED",
    `cannot write to ${folder}: ${REASONS[code] ?? message}; change that, or set HF_HOME to another folder`,
    { cause: error, retryable: true },
  );
}

/** Free bytes for this user on the disk of a folder that may not exist yet; `Infinity` when the system does not say. */
export async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize, blocks } = await statfs(folder);
    // Some network drives report a disk of no size.
    return blocks === 0 ? Infinity : bavail * bsize;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || dirname(folder) === folder) return Infinity;
    return freeBytes(dirname(folder));
  }
}
