import type { GGUFTensorInfo } from "@huggingface/gguf";
import { largest } from "../../../core/extremes.ts";
import { type Hyperparameters, MAX_WIDTH } from "./gguf-hyperparameters.ts";

/** Architectures whose graph asserts that whole heads are rotated. */
const FULL_ROTARY = new Set([
  "arctic",
  "dbrx",
  "deepseek",
  "dots1",
  "ernie4_5",
  "ernie4_5-moe",
  "granite",
  "granitemoe",
  "grok",
  "hunyuan-moe",
  "llada-moe",
  "llama",
  "llama4",
  "olmoe",
  "qwen2",
  "qwen2moe",
  "qwen3",
  "qwen3moe",
  "qwen3vl",
  "qwen3vlmoe",
]);

const WITHOUT_ATTENTION = /^(mamba2?|a?rwkv\w*)$/;

/** What is wrong with the heads of a model's attention, or `null`: llama.cpp reshapes by these numbers. */
export function attentionFault(of: Hyperparameters, tensors: readonly GGUFTensorInfo[]): string | null {
  const fault = of.range(["attention.head_count", "attention.head_count_kv"], 0, MAX_WIDTH);
  if (fault) return fault;
  const counts = of.all("attention.head_count");
  // Layers without attention have 0 heads; a model has some, unless it has no attention at all.
  if (WITHOUT_ATTENTION.test(of.architecture)) return null;
  if (counts.every((count) => count === 0)) return `${of.key("attention.head_count")} is 0`;
  const heads = headsOf(of, counts);
  // Hybrid models have layers without heads, and one number of the others' for all.
  for (const { count, kv } of heads.layers)
    if (count > 0 && kv > 0 && count % kv !== 0)
      return `${count} attention heads cannot share ${kv} key-value heads`;
  return (
    headlessFault(of, heads, tensors) ??
    rotaryFault(of, heads.keyLength) ??
    latentFault(of) ??
    projectionFault(of, heads, tensors)
  );
}

interface Heads {
  readonly keyLength: number;
  readonly valueLength: number;
  /** One entry, or one a layer. */
  readonly layers: readonly { readonly count: number; readonly kv: number }[];
}

function headsOf(of: Hyperparameters, counts: readonly number[]): Heads {
  const shared = of.all("attention.head_count_kv");
  const at = (list: readonly number[], layer: number) => list[Math.min(layer, list.length - 1)]!;
  const layers = Array.from({ length: Math.max(counts.length, shared.length) }, (_, layer) => {
    const count = at(counts, layer);
    return { count, kv: shared.length > 0 ? at(shared, layer) : count };
  });
  // llama.cpp goes by the first layer, and divides whole numbers.
  const usual = Math.floor(of.first("embedding_length")! / (counts[0] || largest(counts)));
  return {
    keyLength: of.first("attention.key_length") ?? usual,
    valueLength: of.first("attention.value_length") ?? usual,
    layers,
  };
}

const ATTENTION = /^(?:(?:enc|dec)\.)?blk\.(\d+)\.attn_(?:q|k|v|qkv|o|output|q_a|kv_a_mqa)\.weight$/;
const RECURRENT = /^blk\.(\d+)\.(?:ssm_|shortconv|time_mix)/;

/** Layers with attention have heads of both kinds; only what is recurrent may count none. */
function headlessFault(
  of: Hyperparameters,
  { layers }: Heads,
  tensors: readonly GGUFTensorInfo[],
): string | null {
  // Its layers of linear attention have an output projection and nothing else of attention.
  if (of.architecture === "deci") return null;
  const withTensor = (pattern: RegExp) => new Set(tensors.map(({ name }) => pattern.exec(name)?.[1]));
  const recurrent = withTensor(RECURRENT);
  for (const layer of withTensor(ATTENTION)) {
    if (layer === undefined || recurrent.has(layer)) continue;
    const { count, kv } = layers[Math.min(Number(layer), layers.length - 1)]!;
    if (count === 0 || kv === 0)
      return `layer ${layer} has attention, and ${count} heads with ${kv} of keys and values`;
  }
  return null;
}

/** llama.cpp's names; anything else is an assertion there. */
const ROPE_SCALINGS = ["none", "linear", "yarn", "longrope"];

function rotaryFault(of: Hyperparameters, keyLength: number): string | null {
  const scaling = of.value("rope.scaling.type");
  if (scaling !== undefined && !ROPE_SCALINGS.includes(String(scaling)))
    return `${of.key("rope.scaling.type")} is none of ${ROPE_SCALINGS.join(", ")}`;
  const rope = of.first("rope.dimension_count");
  if (rope === undefined) return null;
  const whole = FULL_ROTARY.has(of.architecture);
  // With nothing to rotate llama.cpp does not come back.
  if (rope % 2 === 0 && rope >= 2 && (whole ? rope === keyLength : rope <= keyLength)) return null;
  return `${of.key("rope.dimension_count")} is ${rope} for heads of ${keyLength}`;
}

/** Multi-head latent attention caches one key a token: the compressed vector and the part that is rotated. */
function latentFault(of: Hyperparameters): string | null {
  const size = of.first("attention.key_length_mla");
  if (size === undefined) return null;
  const rank = of.first("attention.kv_lora_rank") ?? 0;
  const rope = of.first("rope.dimension_count") ?? 0;
  if (rope >= size || of.first("attention.key_length") !== rank + rope)
    return `${of.key("attention.key_length")} is not kv_lora_rank (${rank}) and rope.dimension_count (${rope}) together`;
  const kv = of.has("attention.head_count_kv") ? "attention.head_count_kv" : "attention.head_count";
  // 0 in a hybrid model's recurrent layers.
  if (of.all(kv).some((count) => count > 1))
    return `${of.key("attention.head_count_kv")} is not 1, as latent attention has it`;
  return null;
}

/** Whether keys, values and the output projection have the heads that the description says. */
function projectionFault(
  of: Hyperparameters,
  { keyLength, valueLength, layers }: Heads,
  tensors: readonly GGUFTensorInfo[],
): string | null {
  // Other sizes in some layers, or heads that are made from compressed vectors: those shapes llama.cpp checks.
  if (of.has("attention.key_length_swa") || of.has("attention.kv_lora_rank")) return null;
  for (const { name, shape } of tensors) {
    const [, layer, kind] = /^(?:(?:enc|dec)\.)?blk\.(\d+)\.attn_(k|v|o|output)\.weight$/.exec(name) ?? [];
    if (layer === undefined) continue;
    const { count, kv } = layers[Math.min(Number(layer), layers.length - 1)]!;
    if (kv === 0) continue;
    const [size, wanted] =
      kind === "o" || kind === "output"
        ? [shape[0], count * valueLength]
        : [shape[1], kv * (kind === "k" ? keyLength : valueLength)];
    if (size !== undefined && Number(size) !== wanted)
      return `${name} is ${shape.join(" x ")}, which does not fit ${count} heads (${kv} of keys and values) of ${keyLength}`;
  }
  return null;
}
