import { RequestError } from "../core/errors.ts";
import type { Gating } from "../core/gating.ts";
import type { Tensor } from "../core/tensor.ts";
import { rankRow, scoreRow } from "./gate-row.ts";
import { softmaxRow } from "./softmax.ts";

/** How undecided a gate was, and how clear its choice, in the gate's own terms; a number a row. */
export interface RowGate {
  /**
   * Entropy of the gate's scores over their sum, in nats: of all experts, from 0 to ln(experts); with `softmax_topk`, whose
   * scores are those of the chosen experts alone, at most ln(topK).
   */
  readonly entropy: Float64Array;
  /**
   * Lowest of the chosen experts less the highest of the others, of what the choice goes by: the scores with the selection
   * bias, within the groups that the gate allows. `Infinity` where no other expert was allowed. `null`: the bias is needed
   * and not given.
   */
  readonly margin: Float64Array | null;
}

/** Whether a gate's own terms say more than the softmax of its logits does. */
export const isPlainSoftmax = ({ score, chosenBy, selectionBias, groups }: Gating): boolean =>
  score === "softmax" && chosenBy === "scores" && !selectionBias && groups === null;

/**
 * Entropy and margin of each row as the gate sees them: with its own scores (sigmoid, say), its selection bias and its
 * groups. `rowEntropy` and `rowMargin` are those of the softmax of the logits and of the logits, whatever the gate.
 *
 * Source of the steps: llama.cpp's `llm_graph_context::build_moe_ffn`, as in {@link route}.
 *
 * @param logits router logits `[rows, experts]`; rows that are not finite give NaN.
 * @param ids chosen experts `[rows, topK]`, in any order.
 * @param selectionBias one number per expert; `selectionBias()` reads it from a model's file.
 * @throws RequestError `INVALID_ARGUMENT` for ids that are not as many in each row, and for a rule that does not go by the
 *   logits.
 * @example
 * const { gating } = moeLayer(llm.info.moe!, 5);
 * const { entropy, margin } = rowGate(capture.routerLogits.get(5)!, gating!, capture.expertIds.get(5)!.data);
 */
export function rowGate(
  { dims, data }: Tensor<"float32">,
  gating: Gating,
  ids: ArrayLike<number>,
  selectionBias: ArrayLike<number> | null = null,
): RowGate {
  const experts = dims.at(-1) ?? 0;
  const rows = experts === 0 ? 0 : data.length / experts;
  const topK = rows === 0 ? 0 : ids.length / rows;
  if (!Number.isInteger(topK))
    throw invalid(`${ids.length} expert ids are not as many in each of ${rows} rows`);
  if (gating.chosenBy === "token_id")
    throw invalid("this layer's experts are looked up by token: its logits have no say in the choice");
  if (selectionBias && selectionBias.length !== experts)
    throw invalid(`the selection bias has ${selectionBias.length} numbers, the logits ${experts} experts`);
  const entropy = new Float64Array(rows);
  const margin = gating.selectionBias && !selectionBias ? null : new Float64Array(rows);
  const scores = new Float32Array(experts);
  const ranking = new Float32Array(experts);
  const own = new Float32Array(topK);
  const chosenBy = new Int32Array(experts).fill(-1);
  for (let row = 0; row < rows; row++) {
    const logits = data.subarray(row * experts, (row + 1) * experts);
    scores.set(logits);
    scoreRow(scores, gating.score);
    if (gating.score === "softmax_topk") {
      for (let i = 0; i < topK; i++) own[i] = logits[ids[row * topK + i]!]!;
      softmaxRow(own, 0, topK, own);
      entropy[row] = entropyOf(own);
    } else entropy[row] = entropyOf(scores);
    if (!margin) continue;
    ranking.set(scores);
    rankRow(ranking, logits, gating, selectionBias);
    let lowest = Infinity;
    for (let i = row * topK; i < (row + 1) * topK; i++) {
      chosenBy[ids[i]!] = row;
      lowest = Math.min(lowest, ranking[ids[i]!]!);
    }
    let highest = -Infinity;
    for (let e = 0; e < experts; e++) if (chosenBy[e] !== row) highest = Math.max(highest, ranking[e]!);
    margin[row] = Number.isNaN(entropy[row]) ? Number.NaN : lowest - highest;
  }
  return { entropy, margin };
}

/** Of numbers over their sum; NaN where they have none. */
function entropyOf(scores: Float32Array): number {
  let [sum, weighted] = [0, 0];
  for (const score of scores) {
    sum += score;
    if (score !== 0) weighted += score * Math.log(score);
  }
  return sum > 0 && sum < Infinity ? Math.max(0, Math.log(sum) - weighted / sum) : Number.NaN;
}

const invalid = (message: string) => new RequestError("INVALID_ARGUMENT", message);
