import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ModelError } from "../core/errors.ts";
import { checksumOf } from "./checksum.ts";
import { blobPath, type RepoCache } from "./hub-cache.ts";
import type { RemoteFile } from "./hub-listing.ts";
import { type HubSession, reason, retrying, SILENCE_MS, send, TransientFailure } from "./hub-request.ts";
import { sizeOf } from "./local-files.ts";
import { withLock } from "./lock.ts";
import { storageError } from "./storage-error.ts";

/** Bytes read at a time from what an earlier run left, to continue its checksum. */
const READ_BYTES = 1 << 20;

/** Where the bytes of a blob are gathered; older versions of Python's `huggingface_hub` use, and continue, the same. */
export function incompletePath(cache: RepoCache, { etag }: RemoteFile): string {
  return `${blobPath(cache, etag)}.incomplete`;
}

/**
 * Download a file into `blobs/<etag>`, continuing what an earlier or cut download left. The name appears only when size
 * and checksum are right.
 *
 * @param onBytes called with how many bytes of the file are here.
 * @throws ModelError `MODEL_DOWNLOAD_FAILED`; the signal's reason when it was aborted.
 */
export async function downloadBlob(
  session: HubSession,
  cache: RepoCache,
  commit: string,
  file: RemoteFile,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const blob = blobPath(cache, file.etag);
  const incomplete = incompletePath(cache, file);
  try {
    await mkdir(dirname(blob), { recursive: true });
    await withLock(
      join(cache.locks, `${file.etag}.moescope.lock`),
      session.signal,
      // Another process downloads the same: show how far it is.
      async () => onBytes((await sizeOf(incomplete)) ?? 0),
      async () => {
        if ((await sizeOf(blob)) === file.size) return;
        const left = await sizeOf(incomplete);
        if (await gather(session, commit, file, incomplete, onBytes)) return settle(incomplete, blob);
        // What an earlier run left may be what is wrong: once more, from the start.
        if (left && (await gather(session, commit, file, incomplete, onBytes)))
          return settle(incomplete, blob);
        throw new ModelError(
          "MODEL_DOWNLOAD_FAILED",
          `${session.repo}/${file.path} arrived with a wrong checksum (expected ${file.etag}) and was thrown away; try again, and if it stays so, the file on the server or a proxy on the way is damaged`,
          { retryable: true },
        );
      },
    );
  } catch (error) {
    throw storageError(error, dirname(blob));
  }
}

/** @returns whether the checksum is right; if not, nothing is left. */
async function gather(
  session: HubSession,
  commit: string,
  file: RemoteFile,
  incomplete: string,
  onBytes: (bytes: number) => void,
): Promise<boolean> {
  const handle = await openIncomplete(incomplete);
  try {
    const checksum = checksumOf(file);
    let bytes = (await handle.stat()).size;
    if (bytes > file.size) {
      await handle.truncate(0);
      bytes = 0;
    }
    onBytes(bytes);
    await readInto(handle, bytes, (piece) => checksum.update(piece), session.signal);
    await retrying(
      session,
      async () => {
        if (bytes === file.size) return;
        await receiveRest(session, commit, file, bytes, async (piece) => {
          // At its place rather than at the end: if the lock fails, two who write the same bytes do no harm.
          await writeAll(handle, piece, bytes);
          checksum.update(piece);
          bytes += piece.length;
          onBytes(bytes);
        });
      },
      { progress: () => bytes },
    );
    await handle.sync();
    if (checksum.digest("hex") === file.etag) return true;
  } finally {
    await handle.close();
  }
  await rm(incomplete, { force: true });
  return false;
}

async function openIncomplete(path: string): Promise<FileHandle> {
  // What is no file is not continued, and must not keep us waiting.
  if ((await sizeOf(path)) === null) await rm(path, { force: true });
  return open(path, "r+").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return open(path, "wx+");
    throw error;
  });
}

/** A disk that is nearly full takes a part of a piece, and only the next write fails. */
async function writeAll(handle: FileHandle, piece: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < piece.length; )
    written += (await handle.write(piece, written, piece.length - written, position + written)).bytesWritten;
}

async function readInto(
  handle: FileHandle,
  bytes: number,
  consume: (piece: Uint8Array) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const buffer = Buffer.alloc(Math.min(bytes, READ_BYTES));
  for (let position = 0; position < bytes; ) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, bytes - position), position);
    if (bytesRead === 0) return;
    consume(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}

/**
 * Ask for a file from byte `offset` on and pass on what comes.
 *
 * @throws TransientFailure when the connection ends early, is silent for too long, or sends something else.
 */
async function receiveRest(
  session: HubSession,
  commit: string,
  { path, size }: RemoteFile,
  offset: number,
  write: (piece: Uint8Array) => Promise<void>,
): Promise<void> {
  const silence = new AbortController();
  const { silenceMs = SILENCE_MS } = session;
  const timer = setTimeout(
    () => silence.abort(new TransientFailure(`no bytes for ${silenceMs / 1000} s`)),
    silenceMs,
  );
  const signal = session.signal ? AbortSignal.any([session.signal, silence.signal]) : silence.signal;
  const url = `${session.settings.endpoint}/${session.repo}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
  try {
    // Compressed bytes could not be counted.
    const headers = { "accept-encoding": "identity", ...(offset > 0 && { range: `bytes=${offset}-` }) };
    const response = await send(session, url, headers, signal);
    // A server that ignores the range starts over; what is here already is passed over.
    let skip = response.status === 206 ? 0 : offset;
    let missing = size - offset;
    checkLength(response, offset, size);
    const body = response.body?.[Symbol.asyncIterator]();
    // What is more than the file is not read: the checksum says whether it was the file.
    while (missing > 0) {
      const next = await body?.next().catch((cause) => {
        throw new TransientFailure(reason(cause), { cause });
      });
      if (!next || next.done)
        throw new TransientFailure(`the connection ends ${missing} bytes before the end of ${path}`);
      timer.refresh();
      const value: Uint8Array = next.value;
      const piece = value.subarray(skip, skip + missing);
      skip = Math.max(0, skip - value.length);
      missing -= piece.length;
      if (piece.length > 0) await write(piece);
    }
  } finally {
    clearTimeout(timer);
    // Whatever was not read is not wanted any more.
    silence.abort();
  }
}

/** A sign-in page of a hotel's network also answers 200: look before its bytes are taken for a model's. */
function checkLength(response: Response, offset: number, size: number): void {
  const { status, headers } = response;
  const length = headers.get("content-length");
  const expected = status === 206 ? size - offset : size;
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
  const misplaced =
    status === 206 &&
    (!range || Number(range[1]) !== offset || (range[2] !== "*" && Number(range[2]) !== size));
  if (misplaced || (length !== null && Number(length) !== expected))
    throw new TransientFailure(
      `the server sends something else (status ${status}, content-length ${length}, content-range ${headers.get("content-range")}) than the ${expected} bytes asked for`,
    );
}

async function settle(incomplete: string, blob: string): Promise<void> {
  await rename(incomplete, blob).catch(async (error) => {
    // If the lock failed, another may have settled the same bytes.
    if ((await sizeOf(blob)) === null) throw error;
  });
}
