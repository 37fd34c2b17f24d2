import type { GGUFTensorInfo } from "@huggingface/gguf";
import { POOLINGS } from "../../../core/embedding.ts";
import type { Hyperparameters } from "./gguf-hyperparameters.ts";

/**
 * Architectures without a cache that have both kinds of layers, those that see all tokens and those with a window: how
 * many of them follow each other where the file does not list them, and which kind comes first. llama.cpp fills a mask
 * for each kind, and asserts that a layer reads it.
 */
const WINDOWS: Readonly<Record<string, { readonly every: number; readonly fullFirst: boolean }>> = {
  "gemma-embedding": { every: 6, fullFirst: false },
  "modern-bert": { every: 3, fullFirst: true },
};

/** What is wrong with what a model's description says of its embeddings, or `null`. */
export function embeddingFault(of: Hyperparameters, tensors: readonly GGUFTensorInfo[]): string | null {
  return of.range(["pooling_type"], 0, POOLINGS.length - 1) ?? denseFault(of, tensors) ?? windowFault(of);
}

/** sentence-transformers' linear layers behind the pooling: their widths must meet, and end at the hidden size. */
function denseFault(of: Hyperparameters, tensors: readonly GGUFTensorInfo[]): string | null {
  const hidden = of.first("embedding_length") ?? 0;
  let width = hidden;
  for (const layer of ["dense_2", "dense_3"]) {
    if (!of.has(`${layer}_feat_in`) && !tensors.some(({ name }) => name === `${layer}.weight`)) continue;
    const [input, output] = ["in", "out"].map((end) => of.first(`${layer}_feat_${end}`) ?? hidden);
    if (input !== width) return `${of.key(`${layer}_feat_in`)} is ${input} for vectors of ${width}`;
    width = output!;
  }
  return width === hidden ? null : `its layers after the pooling end at ${width} values, not ${hidden}`;
}

function windowFault(of: Hyperparameters): string | null {
  const windows = WINDOWS[of.architecture];
  // Without a window there is one mask.
  if (!windows || !((of.first("attention.sliding_window") ?? 0) > 0 || of.architecture === "gemma-embedding"))
    return null;
  const layers = of.first("block_count")!;
  const listed = of.value("attention.sliding_window_pattern");
  const every = Array.isArray(listed) ? 0 : (of.first("attention.sliding_window_pattern") ?? windows.every);
  const isFull = (layer: number) => {
    if (Array.isArray(listed)) return !listed[layer];
    if (every === 0) return false;
    return windows.fullFirst ? layer % every === 0 : layer % every === every - 1;
  };
  const full = Array.from({ length: layers }, (_, layer) => isFull(layer)).filter(Boolean).length;
  if (full > 0 && full < layers) return null;
  return `${full === 0 ? "none" : "each"} of its ${layers} layers sees all tokens; llama.cpp needs some of either kind`;
}
