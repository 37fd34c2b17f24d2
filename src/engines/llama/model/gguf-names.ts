import type { GGUFTensorInfo } from "@huggingface/gguf";

/** What the reader adds to a file's own keys: `version`, `tensor_count`, `kv_count`. */
const ADDED = 3;

/**
 * What is wrong with the names of a part's keys and tensors, or `null`: what is checked here must be what llama.cpp reads. It
 * compares names up to a NUL, and takes the first of two keys that are equal so far; our reader takes the last, and leaves
 * out a mark of byte order.
 */
export function namesFault(
  metadata: Readonly<Record<string, unknown>>,
  tensors: readonly GGUFTensorInfo[],
): string | null {
  for (const [key, value] of Object.entries(metadata)) {
    if (key.includes("\0")) return `the key ${JSON.stringify(short(key))} has a NUL in it`;
    if (typeof value === "string" && value.includes("\0")) return `${short(key)} has a NUL in it`;
  }
  const hidden = tensors.find(({ name }) => name.includes("\0"));
  if (hidden) return `the tensor ${JSON.stringify(short(hidden.name))} has a NUL in its name`;
  const keys = Object.keys(metadata).length - ADDED;
  return keys === Number(metadata.kv_count)
    ? null
    : `it has ${metadata.kv_count} keys, and only ${keys} with names of their own`;
}

const short = (name: string) => (name.length > 80 ? `${name.slice(0, 80)}…` : name);
