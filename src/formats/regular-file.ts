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

/** Beside that, no link is followed. Windows knows no such flag either, and its links take rights that nobody has. */
const NO_LINK = READ_ONLY | (constants.O_NOFOLLOW ?? 0);

/**
 * Open a file for reading, without waiting for anything.
 *
 * @throws NotAFileError for a folder, a named pipe, a device, a socket; else the system's error.
 */
export const openFile = (path: string): Promise<FileHandle> => openAs(path, READ_ONLY, assertFile);

async function openAs(path: string, flags: number, assert: (info: Stats) => void): Promise<FileHandle> {
  const file = await open(path, flags).catch(explain);
  try {
    assert(await file.stat());
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
  return readUpTo(await openFile(path), limit);
}

/**
 * The bytes of a file that another program of this user was to write, and of nobody else's: no link, no other user's.
 *
 * @param limit in bytes.
 * @throws as {@link readFileUpTo}, and for a link or another user's file.
 */
export async function readOwnFileUpTo(path: string, limit: number): Promise<Buffer<ArrayBuffer>> {
  return readUpTo(await openAs(path, NO_LINK, assertOwn), limit);
}

async function readUpTo(file: FileHandle, limit: number): Promise<Buffer<ArrayBuffer>> {
  try {
    const { size } = await file.stat();
    if (size > limit) throw tooLarge(size, limit);
    // One byte more than it should have, to see its end; files of /proc say that they have none.
    let bytes = Buffer.alloc(size + 1);
    let length = 0;
    for (;;) {
      // The system reads less than 2^31 bytes at a time.
      const { bytesRead } = await file.read(bytes, length, Math.min(bytes.length - length, 2 ** 30), length);
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

function assertOwn(info: Stats): void {
  assertFile(info);
  if (process.getuid && info.uid !== process.getuid()) throw new Error("it is another user's");
}

/** What something that is no regular file is, for people. */
function kindOf(info: Stats): string {
  if (info.isDirectory()) return "a folder";
  if (info.isFIFO()) return "a named pipe";
  return info.isSocket() ? "a socket" : "a device";
}

/** Sockets cannot be opened, and the system's words for that are of devices. */
function explain(error: unknown): never {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENXIO") throw new NotAFileError("a socket or a device");
  // What a link says where none is followed; FreeBSD says EMLINK.
  if (code === "ELOOP" || code === "EMLINK") throw new NotAFileError("a link");
  throw error;
}

const tooLarge = (size: number, limit: number) =>
  Object.assign(new Error(`it has ${size} bytes or more; the limit is ${limit}`), { code: "EFBIG" });
