import type { Gating } from "../../../core/gating.ts";
import type { MoeInfo } from "../../../core/model-info.ts";
import { moeInfo } from "../../../core/moe-layer.ts";
import { gatingOf, knownRule } from "../../../gating/architectures.ts";
import { Hyperparameters } from "./gguf-hyperparameters.ts";

/** Learned biases for the choice of experts, as llama.cpp's loaders name them: Hunyuan's (`hy_v3`) without the ending. */
export const SELECTION_BIAS = /^blk\.(\d+)\.exp_probs_b(?:\.bias)?$/;

/** What of a model's file says how it routes. */
interface RoutingFacts {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly tensors: readonly { readonly name: string }[];
  readonly architecture: string;
  /** Without those for multi-token prediction. */
  readonly layers: number;
  readonly vocabSize: number;
}

/** The routing that a file describes; `null` for a dense model. */
export function moeOf({ metadata, tensors, architecture, layers, vocabSize }: RoutingFacts): MoeInfo | null {
  const of = new Hyperparameters(metadata, architecture);
  const names = new Set(tensors.map(({ name }) => name));
  const all = Array.from({ length: layers }, (_, layer) => layer);
  const having = (part: string) => all.filter((layer) => names.has(`blk.${layer}.${part}`));
  const moeLayers = having("ffn_gate_inp.weight");
  const experts = of.first("expert_count") ?? 0;
  if (moeLayers.length === 0 || experts === 0) return null;
  const shared = having("ffn_up_shexp.weight").length > 0 || having("ffn_gate_up_shexp.weight").length > 0;
  const biased = new Set(tensors.map(({ name }) => SELECTION_BIAS.exec(name)?.[1]));
  const byToken = of.first(knownRule(architecture)?.byToken ?? "") ?? 0;
  const keys = {
    gatingFunction: of.first("expert_gating_func"),
    weightsNorm: of.value("expert_weights_norm") as boolean | undefined,
    weightsScale: of.first("expert_weights_scale"),
    groupCount: of.first("expert_group_count"),
    groupsUsed: of.first("expert_group_used_count"),
    layers,
    vocabSize,
  };
  const gating = (layer: number): Gating | null =>
    gatingOf(architecture, keys, {
      selectionBias: biased.has(`${layer}`),
      byToken: layer < byToken,
    });
  return moeInfo(
    moeLayers,
    moeLayers.map((layer) => ({ experts, topK: usedExperts(of, layer), gating: gating(layer) })),
    // Qwen2-MoE and others have one shared expert and no count.
    shared ? Math.max(1, of.first("expert_shared_count") ?? 0) : 0,
  );
}

/**
 * Experts that a layer uses per token. A list counts by layer, of which some architectures' graphs take the first for
 * all; see {@link KnownRule.topK}.
 */
export function usedExperts(of: Hyperparameters, layer: number): number {
  const used = of.all("expert_used_count");
  const rule = knownRule(of.architecture);
  return (rule && rule.topK !== "layer" ? used[0] : (used[layer] ?? used[0])) ?? 0;
}
