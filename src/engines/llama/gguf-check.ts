import type { GGUFTensorInfo } from "@huggingface/gguf";
import { vocabularyFault } from "./gguf-vocabulary.ts";

/**
 * What llama.cpp asserts or divides by without a check of its own: a file that breaks it would end the process. Where
 * llama.cpp refuses by itself, as with missing tensors and shapes that do not fit, it is left to.
 */

/** llama.cpp's `LLAMA_MAX_LAYERS` and `LLAMA_MAX_EXPERTS`. */
const MAX_LAYERS = 512;
const MAX_EXPERTS = 512;
/** Sizes and counts are `int32_t` in the end; heads and widths stay far below, and their products must as well. */
const MAX_COUNT = 2 ** 31 - 1;
const MAX_WIDTH = 2 ** 20;

type Metadata = Readonly<Record<string, unknown>>;

/** What is wrong with a model's description, or `null`. */
export function metadataFault(metadata: Metadata, tensors: readonly GGUFTensorInfo[]): string | null {
  const architecture = metadata["general.architecture"];
  if (typeof architecture !== "string" || !/^[\w.-]{1,64}$/.test(architecture))
    return "general.architecture is missing or no name of one";
  const of = new Hyperparameters(metadata, architecture);
  return (
    of.numberFault() ??
    layerFault(of, tensors) ??
    widthFault(of) ??
    headFault(of) ??
    expertFault(of) ??
    divisorFault(of) ??
    vocabularyFault(metadata)
  );
}

/** The keys that begin with the architecture's name; every value is a number or a list of them once checked. */
class Hyperparameters {
  readonly #metadata: Metadata;
  readonly #architecture: string;

  constructor(metadata: Metadata, architecture: string) {
    this.#metadata = metadata;
    this.#architecture = architecture;
  }

  key(name: string): string {
    return `${this.#architecture}.${name}`;
  }

  /** Values of a key: one, or one a layer; none where it is missing. */
  all(name: string): number[] {
    const value = this.#metadata[this.key(name)];
    if (value === undefined) return [];
    return (Array.isArray(value) ? value : [value]).map(Number);
  }

  first(name: string): number | undefined {
    return this.all(name)[0];
  }

  numberFault(): string | null {
    for (const [key, value] of Object.entries(this.#metadata)) {
      if (key === "") return "a key has no name";
      if (!key.startsWith(`${this.#architecture}.`)) continue;
      for (const item of Array.isArray(value) ? value : [value]) {
        if (typeof item !== "number" && typeof item !== "bigint") continue;
        const number = Number(item);
        if (!Number.isFinite(number)) return `${key} is ${number}`;
      }
    }
    return null;
  }

  /** Faults of keys that must lie in a range where they are present. */
  range(names: readonly string[], min: number, max: number): string | null {
    for (const name of names)
      for (const value of this.all(name))
        if (!(Number.isInteger(value) && value >= min && value <= max))
          return `${this.key(name)} is ${value}, it must be a whole number from ${min} to ${max}`;
    return null;
  }
}

function layerFault(of: Hyperparameters, tensors: readonly GGUFTensorInfo[]): string | null {
  if (of.first("block_count") === undefined)
    return `it describes no language model (no ${of.key("block_count")}); is it a vision projector or an adapter?`;
  const blocks = of.first("block_count")!;
  const fault =
    of.range(["block_count"], 1, MAX_LAYERS) ??
    of.range(["nextn_predict_layers", "leading_dense_block_count"], 0, blocks - 1);
  if (fault) return fault;
  const indices = tensors.map(({ name }) => Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? -1));
  const present = indices.reduce((max, index) => Math.max(max, index), -1) + 1;
  // Layers for multi-token prediction are counted, and left out of some files.
  if (present > blocks || present < blocks - (of.first("nextn_predict_layers") ?? 0))
    return `${of.key("block_count")} is ${blocks}, but there are tensors of ${present} layers`;
  return null;
}

function widthFault(of: Hyperparameters): string | null {
  return (
    of.range(["context_length"], 1, MAX_COUNT) ??
    of.range(["embedding_length", "attention.key_length", "attention.value_length"], 1, MAX_WIDTH) ??
    of.range(["attention.key_length_mla", "attention.value_length_mla"], 1, MAX_WIDTH) ??
    of.range(["feed_forward_length", "expert_feed_forward_length"], 0, MAX_WIDTH) ??
    of.range(["attention.q_lora_rank", "attention.kv_lora_rank", "vocab_size"], 0, MAX_COUNT)
  );
}

function headFault(of: Hyperparameters): string | null {
  const fault = of.range(["attention.head_count", "attention.head_count_kv"], 0, MAX_WIDTH);
  if (fault) return fault;
  const heads = of.all("attention.head_count");
  // Layers without attention have 0 heads; a model has some.
  if (heads.every((count) => count === 0)) return `${of.key("attention.head_count")} is 0`;
  for (const [layer, kv] of of.all("attention.head_count_kv").entries()) {
    const count = heads[Math.min(layer, heads.length - 1)]!;
    if (kv > count || (kv > 0 && count % kv !== 0))
      return `${count} attention heads cannot share ${kv} key-value heads`;
  }
  const headSize = of.first("attention.key_length") ?? of.first("embedding_length")! / Math.max(...heads);
  const rope = of.first("rope.dimension_count");
  if (rope !== undefined && (rope % 2 !== 0 || rope < 0 || rope > headSize))
    return `${of.key("rope.dimension_count")} is ${rope} for heads of ${headSize}`;
  return null;
}

/** The assertions of `llama_model::load_hparams`. */
function expertFault(of: Hyperparameters): string | null {
  const count = (name: string) => of.first(name) ?? 0;
  const fault = of.range(["expert_count", "expert_used_count", "expert_shared_count"], 0, MAX_EXPERTS);
  if (fault) return fault;
  const experts = count("expert_count");
  const used = count("expert_used_count");
  const groups = count("expert_group_count");
  const groupsUsed = count("expert_group_used_count");
  if (used > experts || (experts > 0 && used === 0)) return `it uses ${used} of ${experts} experts`;
  if (groups > 0 && (groups >= experts || experts % groups !== 0))
    return `${experts} experts cannot form ${groups} groups`;
  if (groups > 1 && !(groupsUsed > 0 && groupsUsed < groups))
    return `it uses ${groupsUsed} of ${groups} groups of experts`;
  return null;
}

/** What llama.cpp divides by, or takes the remainder of. */
function divisorFault(of: Hyperparameters): string | null {
  return of.range(
    [
      "full_attention_interval",
      "shortconv.l_cache",
      "ssm.conv_kernel",
      "ssm.group_count",
      "ssm.inner_size",
      "ssm.state_size",
      "ssm.time_step_rank",
    ],
    1,
    MAX_WIDTH,
  );
}
