import type { GGUFTensorInfo } from "@huggingface/gguf";
import { POOLINGS } from "../../../core/embedding.ts";
import type { Hyperparameters } from "./gguf-hyperparameters.ts";

/** What is wrong with what a model's description says of its embeddings, or `null`. */
export function embeddingFault(of: Hyperparameters, tensors: readonly GGUFTensorInfo[]): string | null {
  return of.range(["pooling_type"], 0, POOLINGS.length - 1) ?? denseFault(of, tensors);
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
