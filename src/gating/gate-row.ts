import type { Gating } from "../core/gating.ts";
import { softmaxRow } from "./softmax.ts";
import { topkRow } from "./topk.ts";

/**
 * The steps of llama.cpp's `llm_graph_context::build_moe_ffn` for one row, in single precision as there. What follows
 * them from logits to experts is `route`; what holds an engine's own experts against them is `gateFault`.
 */

/**
 * The least sum that weights are divided by: the smallest normal half-precision number, so that a row of vanishing
 * sigmoid scores does not divide by zero. llama.cpp's value.
 */
const MIN_WEIGHT_SUM = 6.103515625e-5;

/** Replace a row's logits by its scores: what the weights are taken from. */
export function scoreRow(row: Float32Array, score: Gating["score"]): void {
  if (score === "softmax") softmaxRow(row, 0, row.length, row);
  else if (score === "sigmoid") for (let e = 0; e < row.length; e++) row[e] = sigmoid(row[e]!);
  else if (score === "sqrt_softplus")
    for (let e = 0; e < row.length; e++) row[e] = Math.sqrt(softplus(row[e]!));
  // softmax_topk takes the weights from the logits themselves.
}

/**
 * Replace a row's scores by what the choice goes by: the greatest are chosen.
 *
 * @param logits of the same row.
 * @param bias one number per expert, if the gating has one, or an edit that bans or forces experts.
 */
export function rankRow(
  row: Float32Array,
  logits: Float32Array,
  { chosenBy, groups }: Pick<Gating, "chosenBy" | "groups">,
  bias: ArrayLike<number> | null,
): void {
  if (chosenBy === "logits") row.set(logits);
  else if (chosenBy === "sigmoid") for (let e = 0; e < row.length; e++) row[e] = sigmoid(logits[e]!);
  if (bias) for (let e = 0; e < row.length; e++) row[e]! += bias[e]!;
  if (groups) maskGroups(row, groups);
}

/** Replace the scores of the chosen, `weights[from, to)`, by the weights they are mixed with. */
export function weighRow(
  weights: Float32Array,
  from: number,
  to: number,
  { score, normalize, scale }: Pick<Gating, "score" | "normalize" | "scale">,
): void {
  if (score === "softmax_topk") softmaxRow(weights, from, to, weights);
  if (normalize) {
    let sum = 0;
    for (let i = from; i < to; i++) sum += weights[i]!;
    const divisor = Math.max(sum, MIN_WEIGHT_SUM);
    for (let i = from; i < to; i++) weights[i]! /= divisor;
  }
  // 0 stands for "no scale" in GGUF files that lack the key.
  if (scale !== 0 && scale !== 1) for (let i = from; i < to; i++) weights[i]! *= scale;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** log(1 + exp(x)); beyond 20 it is x to single precision, and exp would overflow further on (as in ggml). */
const softplus = (x: number) => (x > 20 ? x : Math.log1p(Math.exp(x)));

/**
 * Rule out all but the `used` best groups.
 *
 * Source: DeepSeek-V3, `noaux_tc` (arXiv:2412.19437, section 2.1.2, node-limited routing).
 */
function maskGroups(ranking: Float32Array, groups: NonNullable<Gating["groups"]>): void {
  const { count, used } = groups;
  const size = ranking.length / count;
  const scores = groupScores(ranking, groups);
  const kept = new Int32Array(used);
  topkRow(scores, 0, count, used, kept, 0);
  for (let g = 0; g < count; g++) if (!kept.includes(g)) ranking.fill(-Infinity, g * size, (g + 1) * size);
}

/** How good each group of neighbouring experts is. */
export function groupScores(
  ranking: Float32Array,
  { count, best: judgedBy }: Pick<NonNullable<Gating["groups"]>, "count" | "best">,
): Float32Array {
  const size = ranking.length / count;
  const best = new Int32Array(Math.min(judgedBy, size));
  const scores = new Float32Array(count);
  for (let g = 0; g < count; g++) {
    topkRow(ranking, g * size, (g + 1) * size, best.length, best, 0);
    for (const expert of best) scores[g]! += ranking[g * size + expert]!;
  }
  return scores;
}
