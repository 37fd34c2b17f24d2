import { RequestError } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { EXP_REACH, expWithinReach, fastExp } from "../../gating/exp.ts";

/**
 * Routing entropy of each row in nats: -sum p ln p with p = softmax of the logits. From 0 (one expert gets
 * everything) to ln(experts) (undecided).
 *
 * Source: EasySteer's MOE_CAPTURE_USAGE, "routing entropy", without its 1e-10: p ln p is 0 where p is 0.
 *
 * @param logits router logits `[rows, experts]`.
 * @example
 * import { rowEntropy } from "moescope/analysis";
 * const logits = capture.routerLogits.get(3)!;
 * const nats = rowEntropy(logits); // one number a row
 * const undecided = capture.rows.text[nats.indexOf(Math.max(...nats))];
 * console.log(undecided, "of", Math.log(logits.dims[1]!).toFixed(2), "nats at most");
 */
export function rowEntropy({ dims, data }: Tensor<"float32">): Float64Array {
  const experts = dims.at(-1) ?? 0;
  const entropy = new Float64Array(experts === 0 ? 0 : data.length / experts);
  for (let row = 0; row < entropy.length; row++) {
    const [from, to] = [row * experts, (row + 1) * experts];
    const nats = closeEntropy(data, from, to);
    entropy[row] = Number.isNaN(nats) ? anyEntropy(data, from, to) : nats;
  }
  return entropy;
}

/**
 * With d = logit - shift and Z = sum e^d: H = ln Z - sum d e^d / Z, with no logarithm of a tiny p. Any shift gives the
 * same number, and the first logit spares a search.
 *
 * @returns NaN when the logits are not finite or lie further from the first than the table of e^d reaches.
 */
function closeEntropy(logits: Float32Array, from: number, to: number): number {
  const shift = logits[from]!;
  let z = 0;
  let weighted = 0;
  for (let i = from; i < to; i++) {
    const d = logits[i]! - shift;
    if (!(Math.abs(d) < EXP_REACH)) return Number.NaN;
    const e = expWithinReach(d);
    z += e;
    weighted += d * e;
  }
  return inNats(z, weighted);
}

/** The same for any logits: shifted by the greatest, e^d cannot overflow. */
function anyEntropy(logits: Float32Array, from: number, to: number): number {
  const shift = maxOf(logits, from, to);
  let z = 0;
  let weighted = 0;
  for (let i = from; i < to; i++) {
    const d = logits[i]! - shift;
    const e = fastExp(d);
    z += e;
    // e^-Infinity is 0, and its product NaN.
    if (e !== 0) weighted += d * e;
  }
  return inNats(z, weighted);
}

/** -0 and rounding below 0 are no entropies. */
const inNats = (z: number, weighted: number) => Math.max(0, Math.log(z) - weighted / z);

function maxOf(values: Float32Array, from: number, to: number): number {
  let max = values[from]!;
  for (let i = from + 1; i < to; i++) if (values[i]! > max) max = values[i]!;
  return max;
}

/**
 * Margin of each row's choice, in logits: the lowest logit among the chosen experts minus the highest among the
 * others. Small: another expert nearly served this token. Negative: a selection bias or group limit overrode the
 * logits. Infinity when all experts are chosen.
 *
 * @param logits router logits `[rows, experts]`.
 * @param ids chosen experts `[rows, topK]`, in any order.
 * @throws RequestError `INVALID_ARGUMENT` for ids that are not as many in each row, or that the logits do not have.
 * @example
 * import { rowMargin } from "moescope/analysis";
 * const margins = rowMargin(capture.routerLogits.get(5)!, capture.expertIds.get(5)!.data); // one number a row
 */
export function rowMargin({ dims, data }: Tensor<"float32">, ids: ArrayLike<number>): Float64Array {
  const experts = dims.at(-1) ?? 0;
  const rows = experts === 0 ? 0 : data.length / experts;
  const topK = rows === 0 ? 0 : ids.length / rows;
  if (!Number.isInteger(topK))
    throw invalid(`${ids.length} expert ids are not as many in each of ${rows} rows`);
  const margins = new Float64Array(rows);
  // The row that last chose each expert, so that nothing has to be cleared between rows.
  const chosenBy = new Int32Array(experts).fill(-1);
  for (let row = 0; row < rows; row++) {
    const from = row * experts;
    let lowest = Infinity;
    for (let i = row * topK; i < (row + 1) * topK; i++) {
      const expert = ids[i]!;
      // Beyond a row's experts lie the next row's.
      if (!(expert >= 0 && expert < experts))
        throw invalid(`row ${row} chose expert ${expert}; the logits are of experts 0 to ${experts - 1}`);
      chosenBy[expert] = row;
      lowest = Math.min(lowest, data[from + expert]!);
    }
    let highest = -Infinity;
    for (let e = 0; e < experts; e++) {
      // As Math.max, but faster: most logits end at the first comparison, and a NaN passes it and stays.
      const logit = data[from + e]!;
      if (!(logit <= highest) && chosenBy[e] !== row) highest = Number.isNaN(highest) ? highest : logit;
    }
    margins[row] = lowest - highest;
  }
  return margins;
}

const invalid = (message: string) => new RequestError("INVALID_ARGUMENT", message);
