import { statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { RunHeader } from "../../core/sink.ts";
import { DTYPES } from "../../formats/safetensors.ts";
import { assertFits, captureSize } from "../capture-size.ts";
import type { Manifest } from "./manifest.ts";

/**
 * Refuse a run whose rows the disk cannot take, before it starts.
 *
 * @param samples the samples that are to run. Default: all.
 * @throws RequestError `CAPTURE_TOO_LARGE`.
 */
export async function assertDiskFits(
  folder: string,
  header: RunHeader,
  streams: Manifest["streams"],
  samples?: readonly number[],
): Promise<void> {
  const size = captureSize(header, (name) => DTYPES[streams[name]!.dtype].BYTES_PER_ELEMENT, samples);
  const bytes = await freeBytes(resolve(folder));
  assertFits(size, { where: `on the disk of ${folder}`, bytes });
}

/** Free on the disk of a folder that may not exist yet; infinite where the system does not tell. */
async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch (error) {
    const up = dirname(folder);
    return (error as NodeJS.ErrnoException).code === "ENOENT" && up !== folder
      ? freeBytes(up)
      : Number.POSITIVE_INFINITY;
  }
}
