import { RequestError } from "../core/errors.ts";
import type { Gating } from "../core/gating.ts";
import type { Tensor } from "../core/tensor.ts";
import { fastExp } from "./exp.ts";
import { rankRow, scoreRow, weighRow } from "./gate-row.ts";
import { checkK, topkRow } from "./topk.ts";

/** The experts chosen for each row and the weights their outputs are mixed with. */
export interface Routing {
  /** `[rows, topK]`, in the order they rank. */
  readonly ids: Tensor<"uint16">;
  /** `[rows, topK]`, after normalisation and scaling. */
  readonly weights: Tensor<"float32">;
}

/**
 * Choose experts from router logits as the architecture does.
 *
 * Follows llama.cpp's `llm_graph_context::build_moe_ffn` step by step: scores, selection bias, group limit, top-k,
 * weights from the unbiased scores, normalisation, scale. Scores are rounded to single precision as they are there;
 * equal scores go to the lower expert. Where the scores only pass through a softmax, which keeps their order, the
 * logits themselves are ranked.
 *
 * @param logits router logits `[rows, experts]`. A bias that is part of the router's linear map must be in them.
 * @param gating as a model's description has it; `null`, a rule that is not known, is refused.
 * @param selectionBias one number per expert, added to the scores for the choice only; needed if and only if
 *   `gating.selectionBias`.
 * @throws RequestError `INVALID_ARGUMENT` when the rule is not known, does not go by the logits or does not fit them, or
 *   when the bias is missing or not wanted.
 * @example
 * import { moeLayer, route } from "moescope";
 * const { topK, gating } = moeLayer(llm.info.moe!, 5);
 * const { ids, weights } = route(capture.routerLogits.get(5)!, gating, topK);
 */
export function route(
  logits: Tensor<"float32">,
  gating: Gating | null,
  topK: number,
  selectionBias: ArrayLike<number> | null = null,
): Routing {
  const experts = logits.dims.at(-1) ?? 0;
  assertKnown(gating);
  check(gating, experts, topK, selectionBias);
  const rows = experts === 0 ? 0 : logits.data.length / experts;
  const ids = new Uint16Array(rows * topK);
  const weights = new Float32Array(rows * topK);
  const byLogits =
    gating.chosenBy === "scores" &&
    (gating.score === "softmax" || gating.score === "softmax_topk") &&
    !selectionBias &&
    !gating.groups;
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
      const row = logits.data.subarray(from, from + experts);
      scores.set(row);
      scoreRow(scores, gating.score);
      ranking.set(scores);
      rankRow(ranking, row, gating, selectionBias);
      topkRow(ranking, 0, experts, topK, ids, at);
      for (let i = at; i < at + topK; i++) weights[i] = scores[ids[i]!]!;
    }
    weighRow(weights, at, at + topK, gating);
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

/** @throws RequestError `INVALID_ARGUMENT` where logits do not tell the experts. */
function assertKnown(gating: Gating | null): asserts gating is Gating {
  if (gating === null) throw new RequestError("INVALID_ARGUMENT", UNKNOWN_RULE);
  if (gating.chosenBy === "token_id")
    throw new RequestError(
      "INVALID_ARGUMENT",
      "this layer's experts are looked up by token in a table of the model, whatever its router says; capture expert_ids",
    );
}

const UNKNOWN_RULE =
  "how this model chooses experts from its router's logits is not known, so they cannot be told from the logits; " +
  "capture expert_ids and expert_weights, which the engine used";

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
  if (bias && !gating.selectionBias)
    refuse("this rule adds no bias to its scores before it chooses: leave the bias out");
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
