import { largest } from "../../../core/extremes.ts";
import type { ModelInfo } from "../../../core/model-info.ts";
import type { GgufHeader } from "./gguf.ts";

/** The element types that llama.cpp's cache of keys and values may have here. */
export type CacheType = "f32" | "f16" | "q8_0";

const BYTES: Record<CacheType, number> = { f32: 4, f16: 2, q8_0: 34 / 32 };

/**
 * Bytes a token takes in the key-value cache of one layer. Models with sliding windows or without attention in some
 * layers need less.
 */
export function cacheBytesPerToken(
  { metadata }: GgufHeader,
  { architecture, hiddenSize }: ModelInfo,
  type: CacheType,
): number {
  const key = (name: string) => {
    const value = metadata[`${architecture}.${name}`];
    return Number(Array.isArray(value) ? largest(value.map(Number)) : (value ?? 0));
  };
  const heads = key("attention.head_count_kv") || key("attention.head_count");
  const headSize = key("attention.key_length") || hiddenSize / Math.max(1, key("attention.head_count"));
  // MLA caches one compressed vector per token.
  const values = key("attention.kv_lora_rank") || 2 * heads * headSize;
  return values * BYTES[type];
}
