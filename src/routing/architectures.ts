import type { Gating } from "./gating.ts";

type Rule = Pick<Gating, "score" | "normalize">;

const SOFTMAX: Rule = { score: "softmax", normalize: true };
const SOFTMAX_RAW: Rule = { score: "softmax", normalize: false };

/**
 * Rules that llama.cpp writes in its graph builders (`src/models/*.cpp`, arguments `norm_w` and `gating_op` of
 * `build_moe_ffn`) and that no GGUF key states. Architectures that are absent state theirs in the file.
 */
const FIXED: Readonly<Record<string, Rule>> = {
  arctic: SOFTMAX,
  dbrx: SOFTMAX,
  deepseek: SOFTMAX_RAW,
  "ernie4_5-moe": SOFTMAX,
  "gpt-oss": { score: "softmax_topk", normalize: false },
  granitemoe: SOFTMAX,
  granitehybrid: SOFTMAX,
  grok: SOFTMAX,
  grovemoe: SOFTMAX,
  "hunyuan-moe": SOFTMAX,
  jamba: SOFTMAX_RAW,
  "llada-moe": SOFTMAX_RAW,
  llama: SOFTMAX,
  llama4: { score: "sigmoid", normalize: false },
  mimo2: { score: "sigmoid", normalize: true },
  olmoe: SOFTMAX_RAW,
  phimoe: SOFTMAX,
  qwen2moe: SOFTMAX_RAW,
  qwen35moe: SOFTMAX,
  qwen3moe: SOFTMAX,
  qwen3next: SOFTMAX,
  qwen3vlmoe: SOFTMAX,
};

/** Score functions whose normalisation is fixed while the function itself is in the file. */
const ALWAYS_NORMALIZED = new Set(["lfm2moe", "minimax-m2", "smallthinker", "kimi-linear"]);
/** What an architecture uses when `expert_gating_func` is absent; elsewhere softmax. */
const SIGMOID_BY_DEFAULT = new Set([
  "glm4moe",
  "step35",
  "afmoe",
  "cohere2moe",
  "laguna",
  "glm-dsa",
  "hy-v3",
]);
/** `llama_expert_gating_func_type`. */
const SCORES = [undefined, "softmax", "sigmoid", "softmax_topk", "sqrt_softplus"] as const;

/** The GGUF keys `<architecture>.expert_*` that state a gating rule. */
export interface GatingKeys {
  readonly gatingFunction?: number | undefined;
  readonly weightsNorm?: boolean | undefined;
  readonly weightsScale?: number | undefined;
  readonly groupCount?: number | undefined;
  readonly groupsUsed?: number | undefined;
  /** Whether the file has selection biases (`exp_probs_b`). */
  readonly selectionBias: boolean;
}

/** The gating rule llama.cpp applies to a model of this architecture. */
export function gatingOf(architecture: string, keys: GatingKeys): Gating {
  const stated =
    SCORES[keys.gatingFunction ?? 0] ?? (SIGMOID_BY_DEFAULT.has(architecture) ? "sigmoid" : "softmax");
  const rule = FIXED[architecture] ?? {
    score: stated,
    normalize: ALWAYS_NORMALIZED.has(architecture) || (keys.weightsNorm ?? false),
  };
  const count = keys.groupCount ?? 0;
  return {
    ...rule,
    // llama.cpp skips the scaling for 0 and 1.
    scale: keys.weightsScale || 1,
    selectionBias: keys.selectionBias,
    groups: count > 1 ? { count, used: keys.groupsUsed ?? count } : null,
  };
}
