import { join } from "node:path";
import { concatArrays, splitArray } from "../../core/concat-arrays.ts";
import { CaptureError } from "../../core/errors.ts";
import type { SampleInfo } from "../../core/sink.ts";
import { replaceFile, type WriteOptions } from "../../formats/atomic-file.ts";
import { readHeader, readInto, safetensorsBytes, withFile } from "../../formats/safetensors.ts";

/**
 * The prompts of a run, for continuing it: one tensor `prompts.token_id` (I32), the prompts one after the other; their
 * lengths are the manifest's `samples[].promptTokens`. Beside the manifest, as that is written with every shard.
 */
export const PROMPTS_FILE = "prompts.safetensors";

const TENSOR = "prompts.token_id";

export function writePromptTokens(
  folder: string,
  prompts: readonly Int32Array[],
  options?: WriteOptions,
): Promise<void> {
  const data = concatArrays(Int32Array, prompts);
  const tensor = { name: TENSOR, dtype: "I32", shape: [data.length], data } as const;
  return replaceFile(join(folder, PROMPTS_FILE), safetensorsBytes([tensor]), options);
}

/** @throws CaptureError `CAPTURE_INVALID` when the file is missing, damaged or of other prompts. */
export function readPromptTokens(folder: string, samples: readonly SampleInfo[]): Int32Array[] {
  const path = join(folder, PROMPTS_FILE);
  const total = samples.reduce((sum, { promptTokens }) => sum + promptTokens, 0);
  const data = withFile(path, (fd) => {
    const entry = readHeader(fd, path).tensors.get(TENSOR);
    if (entry?.dtype !== "I32" || entry.shape.length !== 1 || entry.shape[0] !== total)
      throw new CaptureError(
        "CAPTURE_INVALID",
        `${path} has ${entry ? `${entry.dtype} [${entry.shape}]` : "nothing"} as "${TENSOR}" where the manifest's ` +
          `prompts have ${total} tokens; restore both files from the same capture`,
      );
    return readInto(fd, path, entry.offset, new Int32Array(total));
  });
  return splitArray(
    data,
    samples.map(({ promptTokens }) => promptTokens),
  );
}
