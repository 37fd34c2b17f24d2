/**
 * How an architecture turns router logits into chosen experts and mixing weights.
 *
 * Source: llama.cpp `llm_graph_context::build_moe_ffn`, which follows each model's reference implementation.
 */
export interface Gating {
  /**
   * - `softmax`: over all experts, then the top-k are taken;
   * - `softmax_topk`: top-k of the logits, then softmax over those k;
   * - `sigmoid`: each expert on its own;
   * - `sqrt_softplus`: sqrt(log(1 + exp(logit))).
   */
  readonly score: "softmax" | "softmax_topk" | "sigmoid" | "sqrt_softplus";
  /**
   * What the experts with the k greatest are chosen by. All but the last keep the order of the logits, but for what
   * single precision cannot tell apart: the sigmoid of 17 and that of 30 are both 1.
   *
   * - `scores`: the scores, with the selection bias where there is one;
   * - `logits`: the logits themselves (Llama 4);
   * - `sigmoid`: the logits' sigmoids, whatever the scores are (GroveMoE);
   * - `token_id`: a table that the model has of its vocabulary, and not the logits at all (DeepSeek-V4's first layers).
   */
  readonly chosenBy: "scores" | "logits" | "sigmoid" | "token_id";
  /** Whether the k weights are divided by their sum. */
  readonly normalize: boolean;
  /** Factor on the weights after normalisation (`routed_scaling_factor`). */
  readonly scale: number;
  /** Whether a learned bias is added to the scores for the choice only (DeepSeek-V3's auxiliary-loss-free balancing). */
  readonly selectionBias: boolean;
  /**
   * Choice limited to the `used` best of `count` groups of neighbouring experts, or `null`. A group is as good as its
   * `best` best experts together: two in llama.cpp and in DeepSeek-V3, one in DeepSeek-V2.
   */
  readonly groups: { readonly count: number; readonly used: number; readonly best: number } | null;
  /** What the weights are multiplied with: what the experts put out, or what goes into them (Llama 4). */
  readonly weighted: "outputs" | "inputs";
}

export type Score = Gating["score"];
