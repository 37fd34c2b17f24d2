import { type Fields, unchecked } from "./options.ts";

/** What a model is loaded for: to write text, or to make one vector of each prompt. */
export const TASKS = ["generate", "embed"] as const;
/**
 * What a model is loaded for: to write text (`generate`), or to make one vector of each prompt (`embed`).
 *
 * @useDeclaredType
 */
export type Task = (typeof TASKS)[number];

/**
 * In llama.cpp's order. How a prompt's rows become one vector: their mean, the first (`cls`), the last, or what a classifier or reranker makes
 * of one of them (`rank`: its scores). `none`: no vector is made.
 */
export const POOLINGS = ["none", "mean", "cls", "last", "rank"] as const;
/**
 * How a prompt's rows become one vector, its embedding: their `mean`, the first row (`cls`), the `last`, the scores
 * of a classifier or reranker (`rank`), or `none`.
 *
 * @useDeclaredType
 */
export type Pooling = (typeof POOLINGS)[number];

/** How the pooled embeddings of a loaded model are made. */
export interface EmbeddingInfo {
  readonly pooling: Pooling;
  /** Whether they are scaled to the Euclidean length 1. */
  readonly normalize: boolean;
}

/** What to load a model for; the same for every engine. */
export interface TaskOptions {
  /**
   * Default: `embed` for a model that was made for it (its description names a pooling) or that cannot generate (its
   * attention is not causal), else `generate`. With `embed`, `outputs[i].embedding` holds each prompt's pooled embedding
   * and nothing can be generated.
   */
  readonly task?: Task;
  /**
   * With task `embed`. Default: as the model's description says; where it says nothing, the last token for causal
   * attention (as vLLM's `convert=embed`) and the mean for other (as sentence-transformers).
   */
  readonly pooling?: Pooling;
  /**
   * With task `embed`: scale embeddings to the Euclidean length 1, as llama.cpp's embedding tools and vLLM do.
   * Default true; scores (`rank`) are never scaled.
   */
  readonly normalize?: boolean;
}

/** The same, read strictly; engines know which of them a model takes. */
export const taskFields: Fields<TaskOptions> = { task: unchecked, pooling: unchecked, normalize: unchecked };

/** A vector scaled to the Euclidean length 1, as llama.cpp's tools do: sums in 64 bits; a vector of zeros stays one. */
export function normalized(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, x) => sum + Math.fround(x * x), 0));
  const scale = length > 0 ? Math.fround(1 / length) : 0;
  return vector.map((x) => x * scale);
}
