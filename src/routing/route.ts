import type { Tensor } from "../capture/tensor.ts";
import { RequestError } from "../errors.ts";
import { fastExp } from "./exp.ts";
import type { Gating } from "./gating.ts";
import { softmaxRow } from "./softmax.ts";
import { checkK, topkRow } from "./topk.ts";

/** The experts chosen for each row and the weights their outputs are mixed with. */
export interface Routing {
  /** `[rows, topK]`, in the order they rank. */
  readonly ids: Tensor<"uint16">;
  /** `[rows, topK]`, after normalisation and scaling. */
  readonly weights: Tensor<"float32">;
}

/**
 * The least sum that weights are divided by: the smallest normal half-precision number, so that a row of vanishing
 * sigmoid scores does not divide by zero. llama.cpp's value.
 */
const MIN_WEIGHT_SUM = 6.103515625e-5;

/**
 * Choose experts from router logits as the architecture does.
 *
 * Follows llama.cpp's `llm_graph_context::build_moe_ffn` step by step: scores, selection bias, group limit, top-k,
 * weights from the unbiased scores, normalisation, scale. Scores are rounded to single precision as they are there;
 * equal scores go to the lower expert. Where the scores only pass through a softmax, which keeps their order, the
 * logits themselves are ranked.
 *
 * @param logits router logits `[rows, experts]`. A bias that is part of the router's linear map must be in them.
 * @param selectionBias one number per expert, added to the scores for the choice only; needed if and only if
 *   `gating.selectionBias`.
 * @throws RequestError `INVALID_ARGUMENT` when the gating does not fit the logits or the bias is missing.
 * @example
 * const { topK, gating } = llm.info.moe!;
 * const { ids, weights } = route(capture.routerLogits.get(5)!, gating, topK);
 */
export function route(
  logits: Tensor<"float32">,
  gating: Gating,
  topK: number,
  selectionBias: ArrayLike<number> | null = null,
): Routing {
  const experts = logits.dims.at(-1) ?? 0;
  check(gating, experts, topK, selectionBias);
  const rows = experts === 0 ? 0 : logits.data.length / experts;
  const ids = new Uint16Array(rows * topK);
  const weights = new Float32Array(rows * topK);
  const byLogits =
    (gating.score === "softmax" || gating.score === "softmax_topk") && !selectionBias && !gating.groups;
  const scores = new Float32Array(experts);
  const ranking = new Float32Array(experts);
  for (let row = 0; row < rows; row++) {
    const [from, at] = [row * experts, row * topK];
    if (byLogits) {
      topkRow(logits.data, from, from + experts, topK, ids, at);
      for (let i = at; i < at + topK; i++) weights[i] = logits.data[from + ids[i]!]!;
      if (gating.score === "softmax") {
        // Weights that are divided by their own sum do not need that of all experts.
        const sum = gating.normalize ? 1 : sumOfExp(logits.data, from, from + experts, weights[at]!);
        const best = weights[at]!;
        for (let i = at; i < at + topK; i++) weights[i] = fastExp(weights[i]! - best) / sum;
      }
    } else {
      scores.set(logits.data.subarray(from, from + experts));
      score(scores, gating.score);
      ranking.set(scores);
      for (let e = 0; selectionBias && e < experts; e++) ranking[e]! += selectionBias[e]!;
      if (gating.groups) maskGroups(ranking, gating.groups);
      topkRow(ranking, 0, experts, topK, ids, at);
      for (let i = at; i < at + topK; i++) weights[i] = scores[ids[i]!]!;
    }
    finishWeights(weights, at, at + topK, gating);
  }
  const dims = [rows, topK];
  return { ids: { type: "uint16", dims, data: ids }, weights: { type: "float32", dims, data: weights } };
}

/** Sum of e^(logit - max). */
function sumOfExp(logits: Float32Array, from: number, to: number, max: number): number {
  let sum = 0;
  for (let i = from; i < to; i++) sum += fastExp(logits[i]! - max);
  return sum;
}

/** Replace a row's logits by its scores. */
function score(row: Float32Array, kind: Gating["score"]): void {
  if (kind === "softmax") softmaxRow(row, 0, row.length, row);
  else if (kind === "sigmoid") for (let e = 0; e < row.length; e++) row[e] = 1 / (1 + Math.exp(-row[e]!));
  else if (kind === "sqrt_softplus")
    for (let e = 0; e < row.length; e++) row[e] = Math.sqrt(softplus(row[e]!));
  // softmax_topk ranks by the logits themselves.
}

/** log(1 + exp(x)); beyond 20 it is x to single precision, and exp would overflow further on (as in ggml). */
const softplus = (x: number) => (x > 20 ? x : Math.log1p(Math.exp(x)));

/**
 * Rule out all but the `used` best groups of neighbouring experts; a group is as good as its two best experts
 * together.
 *
 * Source: DeepSeek-V3, `noaux_tc` (arXiv:2412.19437, section 2.1.2, node-limited routing).
 */
function maskGroups(ranking: Float32Array, { count, used }: NonNullable<Gating["groups"]>): void {
  const size = ranking.length / count;
  const best = new Int32Array(Math.min(2, size));
  const scores = new Float32Array(count);
  for (let g = 0; g < count; g++) {
    topkRow(ranking, g * size, (g + 1) * size, best.length, best, 0);
    for (const expert of best) scores[g]! += ranking[g * size + expert]!;
  }
  const kept = new Int32Array(used);
  topkRow(scores, 0, count, used, kept, 0);
  for (let g = 0; g < count; g++) if (!kept.includes(g)) ranking.fill(-Infinity, g * size, (g + 1) * size);
}

function finishWeights(weights: Float32Array, from: number, to: number, gating: Gating): void {
  if (gating.score === "softmax_topk") softmaxRow(weights, from, to, weights);
  if (gating.normalize) {
    let sum = 0;
    for (let i = from; i < to; i++) sum += weights[i]!;
    const divisor = Math.max(sum, MIN_WEIGHT_SUM);
    for (let i = from; i < to; i++) weights[i]! /= divisor;
  }
  // 0 stands for "no scale" in GGUF files that lack the key.
  if (gating.scale !== 0 && gating.scale !== 1) for (let i = from; i < to; i++) weights[i]! *= gating.scale;
}

function check(gating: Gating, experts: number, topK: number, bias: ArrayLike<number> | null): void {
  checkK(topK, experts);
  const refuse = (message: string): never => {
    throw new RequestError("INVALID_ARGUMENT", message);
  };
  if (gating.selectionBias && !bias)
    refuse(
      "this model adds a learned bias to its scores before it chooses; pass it (selectionBias() reads it from the " +
        "model's file), or capture expert_ids instead",
    );
  if (bias && bias.length !== experts)
    refuse(`the selection bias has ${bias.length} numbers, the logits ${experts} experts`);
  const { groups } = gating;
  if (!groups) return;
  const size = experts / groups.count;
  if (!Number.isInteger(size) || groups.used < 1 || groups.used > groups.count || groups.used * size < topK)
    refuse(
      `cannot choose ${topK} of ${experts} experts within ${groups.used} of ${groups.count} equal groups`,
    );
}
