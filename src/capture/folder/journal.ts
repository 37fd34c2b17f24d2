import { constants } from "node:fs";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { append } from "../../core/extremes.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { storageError, type WriteOptions, writeAll } from "../../formats/atomic-file.ts";
import { embeddingsFile } from "./embeddings.ts";
import { type Manifest, shardRecord } from "./manifest-record.ts";
import { outputRecord } from "./output-record.ts";

export const JOURNAL_FILE = "journal.jsonl";

/** What a shard adds to the manifest: a line of the journal. */
const journalEntry = schema((z) => {
  const widths = z.array(z.int().nonnegative());
  return z.object({
    shard: shardRecord(),
    /** Values of a row by stream and layer; in the first line, as the first rows tell them. */
    widths: z.record(z.string(), widths).optional(),
    /** The samples that ended and have all their rows in this shard and those before. */
    outputs: z.array(outputRecord()),
    /** Files of pooled embeddings that are new. */
    embeddings: z.array(embeddingsFile()),
  });
});

export type JournalEntry = Parsed<typeof journalEntry>;

/**
 * What was added to a manifest since it was written, a line of JSON a shard. It is only ever appended to: writing the
 * manifest again with each shard would take bytes with the square of the rows. A line counts once its end is written, so
 * that a run which is killed within a line leaves the shards before it. The manifest of a run that has ended holds all of
 * it, and the journal goes.
 *
 * This begins an empty one. It counts once a manifest says that there is one.
 *
 * @throws CaptureError `STORAGE_FAILED`.
 */
export async function createJournal(folder: string, { mode }: WriteOptions): Promise<void> {
  const path = join(folder, JOURNAL_FILE);
  try {
    await rm(path, { force: true });
    await (await open(path, "wx", mode)).close();
  } catch (cause) {
    throw storageError(path, cause);
  }
}

/** @throws CaptureError `STORAGE_FAILED`; the entry then does not count, and nothing may be appended after it. */
export async function appendEntry(
  folder: string,
  entry: JournalEntry,
  { write = writeAll }: WriteOptions,
): Promise<void> {
  const path = join(folder, JOURNAL_FILE);
  try {
    // Not made anew where it is gone: the folder was moved or removed.
    const file = await open(path, constants.O_WRONLY | constants.O_APPEND);
    try {
      await write(file, Buffer.from(`${JSON.stringify(entry)}\n`));
      await file.datasync();
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw storageError(path, cause);
  }
}

/**
 * The entries of a journal's text. What is after the last end of a line was being written when the run was killed.
 *
 * @param wrong throws, with what is wrong.
 */
export function parseJournal(text: string, wrong: (what: string, cause?: unknown) => never): JournalEntry[] {
  const lines = text.split("\n");
  lines.pop();
  return lines.map((line, i) => {
    let json: unknown;
    try {
      json = JSON.parse(line);
    } catch (cause) {
      wrong(`is no JSON in line ${i + 1} (${(cause as Error).message})`, cause);
    }
    const { data, error } = journalEntry().safeParse(json);
    if (data) return data;
    const { path, message } = error.issues[0]!;
    return wrong(`is wrong in line ${i + 1} at ${path.join(".") || "its top"}: ${message}`, error);
  });
}

/** Add what a shard brought to the manifest in memory. */
export function addEntry(manifest: Manifest, { shard, widths, outputs, embeddings }: JournalEntry): void {
  manifest.shards.push(shard);
  manifest.rows += shard.rows;
  for (const [name, sizes] of Object.entries(widths ?? {})) {
    const stream = manifest.streams[name as keyof Manifest["streams"]];
    if (stream) stream.widths = sizes;
  }
  append(manifest.outputs, outputs);
  if (manifest.embeddings) append(manifest.embeddings.files, embeddings);
}
