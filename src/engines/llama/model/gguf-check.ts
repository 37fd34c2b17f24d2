import type { GGUFTensorInfo } from "@huggingface/gguf";
import { largest } from "../../../core/extremes.ts";
import { knownRule, scoreOf } from "../../../gating/architectures.ts";
import { attentionFault } from "./gguf-attention.ts";
import { embeddingFault } from "./gguf-embedding.ts";
import { Hyperparameters, MAX_COUNT, MAX_WIDTH } from "./gguf-hyperparameters.ts";
import { usedExperts } from "./gguf-moe.ts";
import { vocabularyFault } from "./gguf-vocabulary.ts";
import { windowFault } from "./gguf-windows.ts";

/**
 * What llama.cpp asserts or divides by without a check of its own: a file that breaks it would end the process. Where
 * llama.cpp refuses by itself, as with missing tensors and shapes that do not fit, it is left to.
 */

/** llama.cpp's `LLAMA_MAX_LAYERS` and `LLAMA_MAX_EXPERTS`. */
const MAX_LAYERS = 512;
const MAX_EXPERTS = 1024;
/** `llama_expert_gating_func_type`: softmax, sigmoid, softmax of the chosen, square root of softplus. */
const GATING = { first: 1, last: 4 };
/** Architectures that llama.cpp takes for dense when they have one expert. */
const DENSE_WITH_ONE = new Set(["hunyuan-dense", "hunyuan_vl"]);

/** Architectures whose recurrent layers have as many values as keys in a head. */
const DELTA_NET = /^qwen3next$|^qwen35(moe)?$/;

/** Architectures whose graph asserts that recurrent layers are twice as wide as the residual stream. */
const TWICE_AS_WIDE = new Set(["jamba", "granitehybrid"]);

/** What is wrong with a model's description, or `null`. */
export function metadataFault(
  metadata: Readonly<Record<string, unknown>>,
  tensors: readonly GGUFTensorInfo[],
): string | null {
  const architecture = metadata["general.architecture"];
  if (typeof architecture !== "string" || !/^[\w.-]{1,64}$/.test(architecture))
    return "general.architecture is missing or no name of one";
  const of = new Hyperparameters(metadata, architecture);
  return (
    of.numberFault() ??
    layerFault(of, tensors) ??
    widthFault(of) ??
    attentionFault(of, tensors) ??
    expertFault(of, tensors) ??
    embeddingFault(of, tensors) ??
    windowFault(of) ??
    divisorFault(of) ??
    vocabularyFault(metadata)
  );
}

function layerFault(of: Hyperparameters, tensors: readonly GGUFTensorInfo[]): string | null {
  if (of.first("block_count") === undefined)
    return `it describes no language model (no ${of.key("block_count")}); is it a vision projector or an adapter?`;
  const blocks = of.first("block_count")!;
  const fault =
    of.range(["block_count"], 1, MAX_LAYERS) ??
    of.range(["nextn_predict_layers"], 0, blocks - 1) ??
    of.range(["leading_dense_block_count", "n_deepstack_layers"], 0, blocks);
  if (fault) return fault;
  const indices = tensors.map(({ name }) => Number(/^(?:enc\.)?blk\.(\d+)\./.exec(name)?.[1] ?? -1));
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
    epsilonFault(of) ??
    of.range(["attention.q_lora_rank", "attention.kv_lora_rank", "vocab_size"], 0, MAX_COUNT)
  );
}

function epsilonFault(of: Hyperparameters): string | null {
  for (const name of ["layer_norm_epsilon", "layer_norm_rms_epsilon", "group_norm_epsilon"])
    for (const value of of.all(`attention.${name}`))
      if (value < 0) return `${of.key(`attention.${name}`)} is ${value}`;
  return null;
}

/** The assertions of `llama_model::load_hparams`. */
function expertFault(of: Hyperparameters, tensors: readonly GGUFTensorInfo[]): string | null {
  const count = (name: string) => of.first(name) ?? 0;
  const fault =
    of.range(["expert_count", "expert_used_count", "expert_shared_count"], 0, MAX_EXPERTS) ??
    of.range(["expert_gating_func"], GATING.first, GATING.last);
  if (fault) return fault;
  const experts = count("expert_count");
  // One number, or one a layer.
  const used = Math.max(0, largest(of.all("expert_used_count")));
  // A dense model to llama.cpp, whatever else the file says.
  if (DENSE_WITH_ONE.has(of.architecture) && experts <= 1) return null;
  const groups = count("expert_group_count");
  const groupsUsed = count("expert_group_used_count");
  if (used > experts || (experts > 0 && used === 0)) return `it uses ${used} of ${experts} experts`;
  if (groups > 0 && (groups >= experts || experts % groups !== 0))
    return `${experts} experts cannot form ${groups} groups`;
  if (experts > 0 && lacksGating(of)) return `${of.key("expert_gating_func")} is missing`;
  if (groups > 1 && !(groupsUsed > 0 && groupsUsed < groups))
    return `it uses ${groupsUsed} of ${groups} groups of experts`;
  return usedFault(of, tensors);
}

/** Whether the graph takes the score function from the file, which lacks it, and has no default. */
function lacksGating(of: Hyperparameters): boolean {
  const rule = knownRule(of.architecture);
  // Which of two defaults holds does not matter here.
  const keys = { gatingFunction: of.first("expert_gating_func"), layers: 0, vocabSize: 0 };
  return rule !== null && scoreOf(rule, keys) === null;
}

/**
 * Most graphs use as many experts in every layer as the list has for the first, and add up as many as it has for the
 * layer: one that is more is a view beyond its tensor, and one that is less leaves out experts that were computed.
 */
function usedFault(of: Hyperparameters, tensors: readonly GGUFTensorInfo[]): string | null {
  const used = of.all("expert_used_count");
  if (used.length === 0 || !Array.isArray(of.value("expert_used_count"))) return null;
  const routed = tensors.flatMap(({ name }) => ROUTER.exec(name)?.[1] ?? []).map(Number);
  const layer = routed.find((layer) => used[layer] !== usedExperts(of, layer) || !used[layer]);
  if (layer === undefined) return null;
  return used[layer]
    ? `${of.key("expert_used_count")} is ${used[layer]} for layer ${layer} and ${used[0]} for layer 0, which llama.cpp's ` +
        `graph of ${of.architecture} uses in all`
    : `${of.key("expert_used_count")} has no experts for layer ${layer}, which has a router`;
}

const ROUTER = /^blk\.(\d+)\.ffn_gate_inp\.weight$/;

/** Those whose hyperparameters llama.cpp reads as DeepSeek-V2's. */
const SCALES_BY_POSITION = /^(deepseek2|mistral4$)/;

/** What llama.cpp divides by, or takes the remainder of. */
function divisorFault(of: Hyperparameters): string | null {
  // Elsewhere 0 means that no layer is one of experts.
  if (of.architecture === "ernie4_5-moe" && of.first("interleave_moe_layer_step") === 0)
    return `${of.key("interleave_moe_layer_step")} is 0`;
  // Attention is scaled by the position in such lengths.
  if (SCALES_BY_POSITION.test(of.architecture) && of.first("attention.temperature_scale"))
    if (!of.first("attention.temperature_length"))
      return `${of.key("attention.temperature_length")} is missing or 0, and ${of.key("attention.temperature_scale")} is not`;
  const state = (of.first("ssm.state_size") ?? 0) * (of.first("ssm.time_step_rank") ?? 0);
  if (DELTA_NET.test(of.architecture) && of.first("ssm.inner_size") !== state)
    return `${of.key("ssm.inner_size")} is not ssm.state_size times ssm.time_step_rank`;
  const inner = of.first("ssm.inner_size");
  const hidden = of.first("embedding_length") ?? 0;
  if (TWICE_AS_WIDE.has(of.architecture) && inner !== undefined && inner !== 2 * hidden)
    return `${of.key("ssm.inner_size")} is ${inner}, it must be twice ${of.key("embedding_length")} (${hidden})`;
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
