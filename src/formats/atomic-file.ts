import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CaptureError } from "../core/errors.ts";

/** Writes all of `bytes` at the file's end. */
export type WriteBytes = (file: FileHandle, bytes: Uint8Array) => Promise<unknown>;

export const writeAll: WriteBytes = (file, bytes) => file.writeFile(bytes);

export interface WriteOptions {
  /** For tests that fill the disk. */
  readonly write?: WriteBytes | undefined;
  /** Permissions of a new file. Default: what the process's umask leaves of 0666. */
  readonly mode?: number | undefined;
}

/**
 * Write a file so that its name only ever stands for a whole one: under a temporary name, flushed to the disk, then
 * renamed over what was there. A run that is killed in between leaves at most a file whose name starts with a dot.
 *
 * @throws CaptureError `STORAGE_FAILED`; the file is then what it was before.
 */
export async function replaceFile(
  path: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  { write = writeAll, mode }: WriteOptions = {},
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.part`);
  try {
    // A new file always: one that a killed run left has its permissions, and a link would lead elsewhere.
    await rm(temporary, { force: true });
    const file = await open(temporary, "wx", mode);
    try {
      for await (const chunk of chunks) await write(file, chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    // What cannot be removed does no harm: no reader looks at the temporary name.
    await rm(temporary, { force: true }).catch(() => {});
    throw storageError(path, cause);
  }
}

/** What to do about a failed write, by the system's error code. */
const ADVICE: Record<string, string> = {
  ENOSPC: "the disk is full: free space or capture into another folder",
  EDQUOT: "the disk quota is used up: free space or capture into another folder",
  EACCES: "no permission to write there: choose another folder or change its permissions",
  EPERM: "not allowed to write there: choose another folder or change its permissions",
  EROFS: "the file system is read-only: choose another folder",
  ENOTDIR: "a part of the path is a file, not a folder: choose another path",
  ENAMETOOLONG: "the path is too long: choose a shorter one",
  EMFILE: "this process has too many open files: raise the limit (ulimit -n)",
};

/** Failures that pass without a change to the call: space can be freed, files closed. */
const PASSING = new Set(["ENOSPC", "EDQUOT", "EMFILE"]);

/** A failed write as an error that says what to do. */
export function storageError(path: string, cause: unknown): CaptureError {
  if (cause instanceof CaptureError) return cause;
  const { code = "", message } = cause as NodeJS.ErrnoException;
  const advice = ADVICE[code] ?? `the system says: ${message}`;
  return new CaptureError("STORAGE_FAILED", `cannot write ${path}: ${advice}`, {
    cause,
    retryable: PASSING.has(code),
  });
}
