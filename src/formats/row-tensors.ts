import type { Dtype } from "./safetensors.ts";

/**
 * How rows lie in safetensors, whether a capture folder keeps them or vLLM's plugin hands them over: a tensor for each
 * label, `[rows]`, and one for each layer of a stream, `[rows, ...]`. A folder has a file for each stream and one for the
 * labels; the plugin puts all of them into one.
 */
export const ROW_COLUMNS = {
  sample: { name: "rows.sample", dtype: "I32" },
  position: { name: "rows.position", dtype: "I32" },
  tokenId: { name: "rows.token_id", dtype: "I32" },
  /** Index into `prompt`, `generated`. */
  phase: { name: "rows.phase", dtype: "U8" },
} as const satisfies Record<string, { readonly name: string; readonly dtype: Dtype }>;

/** The name of a layer's tensor. */
export const layerTensor = (stream: string, layer: number): string => `${stream}.${layer}`;
