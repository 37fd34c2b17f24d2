import { open } from "node:fs/promises";
import { join } from "node:path";
import { axesOf, type StreamName } from "../../core/streams.ts";
import { replaceFile, storageError, type WriteOptions } from "../../formats/atomic-file.ts";
import { safetensorsBytes, type TensorData } from "../../formats/safetensors.ts";
import { FORMAT } from "./format.ts";
import { MANIFEST_FILE, manifestBytes } from "./manifest.ts";
import { type Manifest, ROWS } from "./manifest-record.ts";

/** Write the files of a shard. It counts once a manifest names it. */
export async function writeShard(
  folder: string,
  number: number,
  tensors: ReadonlyMap<string, readonly TensorData[]>,
  options?: WriteOptions,
): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const [stream, data] of tensors) {
    // A colon is no part of a file's name on Windows.
    const file = `${stream.replace(":", ".")}-${String(number).padStart(5, "0")}.safetensors`;
    const bytes = safetensorsBytes(data, { format: FORMAT, stream, axes: axesIn(stream, data) });
    await replaceFile(join(folder, file), bytes, options);
    files[stream] = file;
  }
  return files;
}

/** Names of the tensors' axes, as in the manifest. */
function axesIn(stream: string, [first]: readonly TensorData[]): string {
  if (stream === ROWS) return "rows";
  return ["rows", ...axesOf(stream as StreamName, first!.shape.length - 1)].join();
}

/** A number that no shard of the manifest has. */
export function nextShardNumber(shards: Manifest["shards"]): number {
  const numbers = shards.map(({ files }) => Number(/-(\d+)\./.exec(files[ROWS]!)![1]));
  return numbers.reduce((max, number) => Math.max(max, number), -1) + 1;
}

export async function writeManifest(
  folder: string,
  manifest: Manifest,
  options?: WriteOptions,
): Promise<void> {
  // The names of the shards must be on the disk before the manifest that lists them.
  await syncFolder(folder);
  await replaceFile(join(folder, MANIFEST_FILE), manifestBytes(manifest), options);
  // And the manifest's own before what it no longer needs is removed.
  await syncFolder(folder);
}

/** Make the names of new files last, should the machine go down. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open a folder, and has its names on the disk without that.
  if (process.platform === "win32") return;
  try {
    const handle = await open(folder, "r");
    await handle.sync().finally(() => handle.close());
  } catch (cause) {
    throw storageError(folder, cause);
  }
}
