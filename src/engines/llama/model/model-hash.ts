import { createHash } from "node:crypto";
import { realpath, stat } from "node:fs/promises";
import { basename } from "node:path";
import { openFile } from "../../../formats/regular-file.ts";

/** Larger models are not read for their hash: 2 GiB take about two seconds, 40 GB a minute. */
const MAX_BYTES = 2 * 2 ** 30;

/**
 * SHA-256 in hex of a model's file; `null` for a split or large model whose name does not say it. The caches of
 * Hugging Face and Ollama name files by their hash, and check it when they download.
 */
export async function hashOf(files: readonly string[]): Promise<string | null> {
  if (files.length !== 1) return null;
  const path = await realpath(files[0]!);
  const named = /^(?:sha256-)?([0-9a-f]{64})$/.exec(basename(path));
  if (named) return named[1]!;
  if ((await stat(path)).size > MAX_BYTES) return null;
  const hash = createHash("sha256");
  const file = await openFile(path);
  for await (const chunk of file.createReadStream({ highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest("hex");
}
