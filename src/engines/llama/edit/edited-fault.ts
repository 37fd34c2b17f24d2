import type { Gating } from "../../../core/gating.ts";
import { type GateFault, type GateRows, gateFault } from "../../../gating/gate-fault.ts";
import type { RowEdit } from "./row-edits.ts";

/**
 * As `gateFault`, for rows that are edited: their experts and weights must be what the rule makes of the logits and the
 * edit together. The captured logits are those before it.
 *
 * @param edits by row; `null`: the row is not edited, and must be as if nothing were.
 */
export function editedFault(
  rows: GateRows,
  gating: Gating | null,
  bias: Float32Array | null,
  layer: number,
  edits: readonly (RowEdit | null)[],
): GateFault | null {
  const { experts, topK } = rows;
  for (const [row, edit] of edits.entries()) {
    const of = (values: Float32Array | null, width: number) =>
      values?.slice(row * width, (row + 1) * width) ?? null;
    const recorded = edit?.recordedWeights(layer) ?? null;
    const weights = of(rows.weights, topK);
    const other = recorded && weights ? recorded.findIndex((weight, i) => weight !== weights[i]) : -1;
    if (other >= 0)
      return { row, what: `the weight ${weights![other]} was used where ${recorded![other]} is replayed` };
    const fault = gateFault(
      {
        logits: rows.logits && plus(of(rows.logits, experts), edit?.row(layer, "logits", experts)),
        ids: Array.from({ length: topK }, (_, i) => rows.ids[row * topK + i]!),
        weights: recorded ? null : weights,
        experts,
        topK,
      },
      gating,
      plus(bias, edit?.row(layer, "choice", experts)),
    );
    if (fault) return { row, what: fault.what };
  }
  return null;
}

function plus(a: Float32Array | null, b: Float32Array | null | undefined): Float32Array | null {
  if (!a || !b) return a ?? b ?? null;
  return a.map((value, i) => value + b[i]!);
}
