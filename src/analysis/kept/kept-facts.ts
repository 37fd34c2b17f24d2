import { createHash } from "node:crypto";
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { z } from "zod";
import type { Capture } from "../../capture/capture.ts";
import { folderContent } from "../../capture/folder/folder-content.ts";
import { replaceFile } from "../../formats/atomic-file.ts";
import { readFileUpTo } from "../../formats/regular-file.ts";
import { codeHash } from "./code-hash.ts";
import { type Signature, signature } from "./signature.ts";

/** What facts are about, and all that decides them. */
export interface KeptQuestion<T> {
  /** Whole capture folders; the first one's keeps the facts. */
  readonly captures: readonly [Capture, ...Capture[]];
  /** The question and its options, in full: plain data. */
  readonly asked: Readonly<Record<string, unknown>>;
  readonly schema: () => z.ZodType<T>;
}

export interface KeptFacts<T> {
  readonly facts: T;
  /** Whether they were computed before. */
  readonly kept: boolean;
}

/** Of a file. Larger facts are not kept. */
const MOST_BYTES = 256 << 20;
/** Files in a folder: the answers to as many questions. */
const MOST_FILES = 8;
const NAME = /^\.facts-([0-9a-f]{16})-[0-9a-f]{16}\.json$/;

/**
 * Facts about capture folders, computed once and kept in the first one for whoever asks next: commands and the explorer.
 * What is kept counts only for the same content of the folders, the same question and the same code of moescope, and if
 * this user's moescope signed it. Everything else (a run that went on, a damaged file, a folder from somebody else) is
 * computed, and replaces it. Where nothing can be written nothing is kept, and that is no error.
 *
 * @param keep `false`: computed in any case, and not kept.
 */
export async function keptFacts<T>(
  question: KeptQuestion<T>,
  compute: () => T | Promise<T>,
  keep: boolean,
): Promise<KeptFacts<T>> {
  const place = keep ? await placeOf(question) : null;
  const sign = place && (await signature());
  if (!place || !sign) return { facts: await compute(), kept: false };
  const found = await read(place, sign, question.schema);
  if (found !== null) return { facts: found, kept: true };
  const facts = await compute();
  // What changed meanwhile is neither the one nor the other.
  if ((await placeOf(question))?.key === place.key) await write(place, sign, facts).catch(() => {});
  return { facts, kept: false };
}

interface Place {
  readonly folder: string;
  readonly path: string;
  /** Of the first capture's content. */
  readonly content: string;
  readonly key: string;
}

async function placeOf({ captures, asked }: KeptQuestion<unknown>): Promise<Place | null> {
  const contents = await Promise.all(captures.map(folderContent));
  if (contents.includes(null)) return null;
  const key = hash(JSON.stringify([contents, asked, await codeHash()]));
  const content = contents[0]!.slice(0, 16);
  const { folder } = captures[0].origin!;
  return { folder, content, key, path: join(folder, `.facts-${content}-${key.slice(0, 16)}.json`) };
}

/** The first line is the signature of the key and what follows. */
async function read<T>({ path, key }: Place, sign: Signature, schema: () => z.ZodType<T>): Promise<T | null> {
  try {
    const file = await readFileUpTo(path, MOST_BYTES);
    const end = file.indexOf("\n");
    const bytes = file.subarray(end + 1);
    if (end < 0 || !sign.holds(key, bytes, file.toString("utf8", 0, end))) return null;
    return schema().parse(JSON.parse(bytes.toString("utf8")));
  } catch {
    // Not there, no file, too large, damaged: it is computed.
    return null;
  }
}

async function write({ folder, path, content, key }: Place, sign: Signature, facts: unknown): Promise<void> {
  const bytes = Buffer.from(JSON.stringify(facts));
  if (bytes.length > MOST_BYTES) return;
  await replaceFile(path, [Buffer.from(`${sign.of(key, bytes)}\n`), bytes], { mode: 0o600 });
  await sweep(folder, content);
}

/** Take away what is of another content, and the oldest beyond a few. */
async function sweep(folder: string, content: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => NAME.test(name));
  const old = names.filter((name) => NAME.exec(name)![1] !== content);
  const times = await Promise.all(
    names
      .filter((name) => !old.includes(name))
      .map(async (name) => ({ name, time: (await stat(join(folder, name))).mtimeMs })),
  );
  const many = times.sort((a, b) => b.time - a.time).slice(MOST_FILES);
  for (const name of [...old, ...many.map((file) => file.name)])
    await rm(join(folder, name), { force: true });
}

const hash = (text: string) => createHash("sha256").update(text).digest("hex");
