import type { Gating, Score } from "../core/gating.ts";
import type { KnownRule } from "./architecture-rule.ts";
import { LLAMA_CPP_RULES } from "./llama-cpp-rules.ts";

/** `llama_expert_gating_func_type`. */
const SCORES: readonly (Score | undefined)[] = [
  undefined,
  "softmax",
  "sigmoid",
  "softmax_topk",
  "sqrt_softplus",
];

/** Experts of a group that `build_moe_ffn` judges it by. */
export const GROUP_BEST = 2;

/** What a GGUF file says of its gating: keys `<architecture>.expert_*`, its size, its tensors. */
export interface GatingKeys {
  readonly gatingFunction?: number | undefined;
  readonly weightsNorm?: boolean | undefined;
  readonly weightsScale?: number | undefined;
  readonly groupCount?: number | undefined;
  readonly groupsUsed?: number | undefined;
  /** Layers and tokens of the model. */
  readonly layers: number;
  readonly vocabSize: number;
}

/** What one layer says of it. */
export interface LayerKeys {
  /** Whether the layer has a selection bias (`exp_probs_b`). */
  readonly selectionBias: boolean;
  /** Whether the layer's experts are looked up by token; see {@link tokenRoutedLayers}. */
  readonly byToken: boolean;
}

/** What llama.cpp's source says of an architecture; `null` where it has no experts, or the source could not be read. */
export function knownRule(architecture: string): KnownRule | null {
  const rule = Object.hasOwn(LLAMA_CPP_RULES, architecture) ? LLAMA_CPP_RULES[architecture] : undefined;
  return rule && "score" in rule ? rule : null;
}

/**
 * The gating rule that llama.cpp's source gives a layer of a model, or `null` where it is not known.
 *
 * This is what a file promises; what a loaded model computes is read off its graph.
 */
export function gatingOf(architecture: string, keys: GatingKeys, layer: LayerKeys): Gating | null {
  const rule = knownRule(architecture);
  const score = rule && scoreOf(rule, keys);
  if (!rule || !score) return null;
  const count = keys.groupCount ?? 0;
  return {
    score,
    chosenBy: layer.byToken ? "token_id" : (rule.chosenBy ?? "scores"),
    normalize: rule.normalize === "file" ? (keys.weightsNorm ?? false) : rule.normalize,
    // llama.cpp skips the scaling for 0 and 1.
    scale: (rule.scale === "file" ? keys.weightsScale : rule.scale) || 1,
    selectionBias: rule.selectionBias && layer.selectionBias && !layer.byToken,
    groups: count > 1 && !layer.byToken ? { count, used: keys.groupsUsed ?? count, best: GROUP_BEST } : null,
    weighted: rule.weighted ?? "outputs",
  };
}

/** The score function of a file, or `null` where it names none and llama.cpp has none to fall back on. */
export function scoreOf(
  { score, scoreDefault = null }: KnownRule,
  { gatingFunction, layers, vocabSize }: Pick<GatingKeys, "gatingFunction" | "layers" | "vocabSize">,
): Score | null {
  if (score !== "file") return score;
  // 0 is what llama.cpp has before it has read anything.
  if (gatingFunction) return SCORES[gatingFunction] ?? null;
  if (scoreDefault === null || typeof scoreDefault === "string") return scoreDefault;
  const special = scoreDefault.layers.includes(layers) && scoreDefault.vocabSize === vocabSize;
  return special ? scoreDefault.score : scoreDefault.otherwise;
}
