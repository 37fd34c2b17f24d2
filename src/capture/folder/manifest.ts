import { stat } from "node:fs/promises";
import { join } from "node:path";
import { CaptureError } from "../../core/errors.ts";
import { readFileUpTo } from "../../formats/regular-file.ts";
import { FORMAT, JOURNAL_FORMAT } from "./format.ts";
import { addEntry, JOURNAL_FILE, parseJournal } from "./journal.ts";
import { checkConsistent, type Manifest, manifestRecord } from "./manifest-record.ts";

export { type Manifest, modelRecord, type StreamEntry } from "./manifest-record.ts";

export const MANIFEST_FILE = "manifest.json";

/**
 * In bytes. Prompts' labels and outputs make up most of it, about 1 KB a sample; a string in V8 ends at 512 MiB, and
 * a manifest beyond half of that is not one. A journal has the same limit.
 */
const MAX_LENGTH = 256 * 2 ** 20;

/** A run begins and ends while its folder is read, and perhaps is resumed; more often than this it does not. */
const LOOKS = 5;

/**
 * Read and check a folder's manifest with its journal: what a run was, how far it is, and whether it is complete.
 *
 * @throws CaptureError `CAPTURE_INVALID` naming the place in the manifest or the journal.
 */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, MANIFEST_FILE);
  const wrong = complain(path);
  for (let look = 1; ; look++) {
    const version = await versionOf(path);
    const manifest = parseManifest(await read(path, folder), path);
    if (manifest.format === JOURNAL_FORMAT) {
      const journal = join(folder, JOURNAL_FILE);
      const text = await read(journal, folder).catch((error: Error) => error);
      // The journal of another manifest, or of none any more: the run has ended in between, or goes on again.
      if ((await versionOf(path)) !== version && look < LOOKS) continue;
      if (text instanceof Error) throw text;
      for (const entry of parseJournal(text, complain(journal))) addEntry(manifest, entry);
      manifest.format = FORMAT;
    }
    checkConsistent(manifest, wrong);
    return manifest;
  }
}

async function read(path: string, folder: string): Promise<string> {
  try {
    return (await readFileUpTo(path, MAX_LENGTH)).toString();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR")
      throw path === join(folder, MANIFEST_FILE)
        ? invalid(folder, `is no capture folder: it has no ${MANIFEST_FILE}`, "check the path", cause)
        : invalid(path, "is missing", RESTORE, cause);
    if (code === "EFBIG") throw invalid(path, `is too large: ${message}`, "is this a capture?", cause);
    throw invalid(path, `cannot be read: ${message}`, "check what it is, and its permissions", cause);
  }
}

/** Tells a manifest from the one that takes its place; `null` where there is none. */
const versionOf = (path: string) =>
  stat(path, { bigint: true }).then(
    ({ ino, mtimeNs, size }) => `${ino} ${mtimeNs} ${size}`,
    () => null,
  );

/** The manifest is written in pieces of about this many characters: a corpus' outputs in one string take as much again. */
const PIECE = 2 ** 18;

/** The manifest as JSON, a line a key: people look into it, and a line a generated token would bury the rest. */
export function* manifestBytes(manifest: Manifest): Generator<Uint8Array> {
  let text = "";
  for (const part of manifestParts(manifest)) {
    text += part;
    if (text.length < PIECE) continue;
    yield Buffer.from(text);
    text = "";
  }
  yield Buffer.from(text);
}

function* manifestParts(manifest: Manifest): Generator<string> {
  let before = "{\n";
  for (const [key, value] of Object.entries(manifest)) {
    yield `${before}${JSON.stringify(key)}: `;
    if (Array.isArray(value)) yield* listParts(value);
    else yield JSON.stringify(value);
    before = ",\n";
  }
  yield "\n}\n";
}

function* listParts(list: readonly unknown[]): Generator<string> {
  yield "[";
  for (const [i, entry] of list.entries()) yield `${i > 0 ? "," : ""}${JSON.stringify(entry)}`;
  yield "]";
}

/** @throws CaptureError `CAPTURE_INVALID` naming the place in the text. */
function parseManifest(text: string, path: string): Manifest {
  const wrong = complain(path);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    wrong(`is no JSON (${(cause as Error).message})`, cause);
  }
  const format = (json as { format?: unknown } | null)?.format;
  const known = format === FORMAT || format === JOURNAL_FORMAT;
  if (typeof format === "string" && !known && format.startsWith("moescope.capture/"))
    throw invalid(
      path,
      `has format ${format}, this moescope reads ${FORMAT}`,
      "install the one that wrote it",
    );
  const result = manifestRecord().safeParse(json);
  if (result.success) return result.data;
  const { path: place, message } = result.error.issues[0]!;
  return wrong(`is wrong at ${place.join(".") || "its top"}: ${message}`, result.error);
}

const RESTORE = "restore the file from where it was copied, or capture again";

/** Throws what is wrong with a file of the capture. */
const complain =
  (path: string) =>
  (what: string, cause?: unknown): never => {
    throw invalid(path, what, RESTORE, cause);
  };

function invalid(path: string, what: string, todo: string, cause?: unknown): CaptureError {
  return new CaptureError("CAPTURE_INVALID", `${path} ${what}; ${todo}`, { cause });
}
