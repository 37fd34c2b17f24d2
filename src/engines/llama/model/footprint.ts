import type { ModelInfo } from "../../../core/model-info.ts";
import { type CacheType, cacheBytesPerToken } from "./cache-size.ts";
import { EXPERTS } from "./expert-tensors.ts";
import type { GgufHeader } from "./gguf.ts";
import { Hyperparameters } from "./gguf-hyperparameters.ts";
import { tensorBytes } from "./gguf-tensors.ts";

/** What the parts of a model take in memory, in bytes; tensors' sizes are those in the file. */
export interface Footprint {
  /** Routed experts, by MoE layer. */
  readonly experts: ReadonlyMap<number, number>;
  /** Everything else of each layer: attention, norms, router, shared experts, dense feed-forward. One entry a layer. */
  readonly rest: readonly number[];
  /** The output head and what belongs to no layer; llama.cpp keeps the input embedding in the CPU's memory. */
  readonly output: number;
  /** The key-value cache of one layer. */
  readonly cachePerLayer: number;
  /** About what a step computes in; see {@link computeBytes}. */
  readonly compute: number;
}

export interface FootprintOptions {
  readonly contextSize: number;
  readonly kvType: CacheType;
  /** Tokens a step holds at most (llama.cpp's `--ubatch-size`). */
  readonly batchSize: number;
}

const EXPERT_TENSOR = new RegExp(EXPERTS);

export function footprint(header: GgufHeader, model: ModelInfo, options: FootprintOptions): Footprint {
  const experts = new Map<number, number>();
  const rest = new Array<number>(model.layers).fill(0);
  let output = 0;
  let embedding = 0;
  for (const tensor of header.tensors) {
    const bytes = Number(tensorBytes(tensor));
    const [, block] = /^blk\.(\d+)\./.exec(tensor.name) ?? [];
    if (block === undefined) {
      if (tensor.name.startsWith("token_embd.")) embedding += bytes;
      else if (!tensor.name.startsWith("per_layer_token_embd.")) output += bytes;
      continue;
    }
    const layer = Number(block);
    // Layers for multi-token prediction are in the file and not loaded.
    if (layer >= model.layers) continue;
    if (EXPERT_TENSOR.test(tensor.name)) experts.set(layer, (experts.get(layer) ?? 0) + bytes);
    else rest[layer]! += bytes;
  }
  // A model without an output matrix uses a second copy of its embedding there.
  const tied = !header.tensors.some(({ name }) => name === "output.weight");
  return {
    experts,
    rest,
    output: output + (tied ? embedding : 0),
    cachePerLayer: options.contextSize * cacheBytesPerToken(header, model, options.kvType),
    compute: computeBytes(header, model, options.batchSize),
  };
}

/**
 * About what llama.cpp's compute buffer takes with flash attention: the widest moment of a step, which is the logits
 * over the vocabulary or the experts' inner values, beside the residual stream and its neighbours.
 */
function computeBytes({ metadata }: GgufHeader, model: ModelInfo, batchSize: number): number {
  const of = new Hyperparameters(metadata, model.architecture);
  const inner = of.first("expert_feed_forward_length") ?? of.first("feed_forward_length") ?? 0;
  const topK = model.moe?.topK ?? 1;
  const widest = Math.max(model.vocabSize, topK * (2 * inner + model.hiddenSize));
  return 4 * batchSize * (widest + 4 * model.hiddenSize);
}
