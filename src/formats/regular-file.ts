import { closeSync, constants, fstatSync, openSync, type Stats } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/** Something that is no regular file where one belongs. */
export class NotAFileError extends Error {
  override readonly name = "NotAFileError";
  readonly code = "ENOTFILE";
  /** What it is: `a named pipe`. */
  readonly kind: string;

  constructor(kind: string) {
    super(`it is ${kind}, not a file`);
    this.kind = kind;
  }
}

/**
 * Opening a named pipe waits for a writer, and that of some devices for what never comes: a folder from a stranger would
 * hold the program up for good. Windows knows no such flag.
 */
const READ_ONLY = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/**
 * Open a file for reading, without waiting for anything.
 *
 * @throws NotAFileError for a folder, a named pipe, a device, a socket; else the system's error.
 */
export async function openFile(path: string): Promise<FileHandle> {
  const file = await open(path, READ_ONLY).catch(explain);
  try {
    assertFile(await file.stat());
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** {@link openFile}, as a descriptor. */
export function openFileSync(path: string): number {
  let fd: number;
  try {
    fd = openSync(path, READ_ONLY);
  } catch (error) {
    explain(error);
  }
  try {
    assertFile(fstatSync(fd));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * The bytes of a file that is to be held in memory.
 *
 * @param limit in bytes; a file may grow while it is read, so it is no promise of its size that counts.
 * @throws NotAFileError; an `EFBIG` error for a file beyond the limit; else the system's error.
 */
export async function readFileUpTo(path: string, limit: number): Promise<Buffer<ArrayBuffer>> {
  const file = await openFile(path);
  try {
    const { size } = await file.stat();
    if (size > limit) throw tooLarge(size, limit);
    // One byte more than it should have, to see its end; files of /proc say that they have none.
    let bytes = Buffer.alloc(size + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
      if (bytesRead === 0) return bytes.subarray(0, length);
      length += bytesRead;
      if (length > limit) throw tooLarge(length, limit);
      if (length === bytes.length) bytes = Buffer.concat([bytes], Math.min(2 * length + 4096, limit + 1));
    }
  } finally {
    await file.close();
  }
}

function assertFile(info: Stats): void {
  if (!info.isFile()) throw new NotAFileError(kindOf(info));
}

/** What something that is no regular file is, for people. */
function kindOf(info: Stats): string {
  if (info.isDirectory()) return "a folder";
  if (info.isFIFO()) return "a named pipe";
  return info.isSocket() ? "a socket" : "a device";
}

/** Sockets cannot be opened, and the system's words for that are of devices. */
function explain(error: unknown): never {
  if ((error as NodeJS.ErrnoException).code === "ENXIO") throw new NotAFileError("a socket or a device");
  throw error;
}

const tooLarge = (size: number, limit: number) =>
  Object.assign(new Error(`it has ${size} bytes or more; the limit is ${limit}`), { code: "EFBIG" });
