import type { Capture } from "../../capture/capture.ts";
import type { Tensor } from "../../capture/tensor.ts";
import { EXP_REACH, expWithinReach, fastExp } from "../../routing/exp.ts";
import { chosenExperts, rowChunks } from "../scan/chosen.ts";

/**
 * Routing entropy of each row in nats: -sum p ln p with p = softmax of the logits. From 0 (one expert gets
 * everything) to ln(experts) (undecided).
 *
 * Source: EasySteer's MOE_CAPTURE_USAGE, "routing entropy", without its 1e-10: p ln p is 0 where p is 0.
 *
 * @param logits router logits `[rows, experts]`.
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
 */
export function rowMargin({ dims, data }: Tensor<"float32">, ids: ArrayLike<number>): Float64Array {
  const experts = dims.at(-1) ?? 0;
  const rows = experts === 0 ? 0 : data.length / experts;
  const topK = ids.length / rows;
  const margins = new Float64Array(rows);
  // The row that last chose each expert, so that nothing has to be cleared between rows.
  const chosenBy = new Int32Array(experts).fill(-1);
  for (let row = 0; row < rows; row++) {
    const from = row * experts;
    let lowest = Infinity;
    for (let i = row * topK; i < (row + 1) * topK; i++) {
      chosenBy[ids[i]!] = row;
      lowest = Math.min(lowest, data[from + ids[i]!]!);
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

/**
 * Mean routing entropy per layer in nats; see {@link rowEntropy}. A capture is read in chunks of rows.
 *
 * @param source a capture with `router_logits`, or such logits as `hs.getMoeRouterLogits` gives them.
 * @throws RequestError `UNKNOWN_STREAM` when the capture has no router logits.
 * @example
 * for (const [layer, nats] of routingEntropy(capture)) console.log(`layer ${layer}: ${nats.toFixed(3)} nats`);
 */
export function routingEntropy(
  source: Pick<Capture, "rows" | "routerLogits"> | ReadonlyMap<number, Tensor<"float32">>,
): Map<number, number> {
  if (isMap(source))
    return new Map([...source].map(([layer, logits]) => [layer, mean([rowEntropy(logits)])]));
  const { routerLogits, rows } = source;
  const chunks = function* (layer: number) {
    for (const [from, to] of rowChunks(rows.length)) yield rowEntropy(routerLogits.rows(layer, from, to));
  };
  return new Map([...routerLogits.keys()].map((layer) => [layer, mean(chunks(layer))]));
}

/**
 * Mean margin per layer in logits; see {@link rowMargin}. The chosen experts are the captured ones, else those that
 * the model's gating rule picks.
 *
 * @throws RequestError `UNKNOWN_STREAM` when the capture has no router logits.
 */
export function routingMargin(capture: Capture): Map<number, number> {
  const { routerLogits } = capture;
  const chunks = function* (layer: number) {
    for (const { from, rows, ids } of chosenExperts(capture, layer))
      yield rowMargin(routerLogits.rows(layer, from, from + rows), ids);
  };
  return new Map([...routerLogits.keys()].map((layer) => [layer, mean(chunks(layer))]));
}

const isMap = (source: object): source is ReadonlyMap<number, Tensor<"float32">> =>
  !("routerLogits" in source);

function mean(chunks: Iterable<Float64Array>): number {
  const tally = new MeanTally();
  for (const chunk of chunks) tally.add(chunk);
  return tally.result().mean;
}

/** Something of each row, on average. */
export interface RowMean {
  readonly rows: number;
  /** NaN when there are no rows. */
  readonly mean: number;
}

export class MeanTally {
  #sum = 0;
  #rows = 0;

  add(values: Float64Array): void {
    for (const value of values) this.#sum += value;
    this.#rows += values.length;
  }

  result(): RowMean {
    return { rows: this.#rows, mean: this.#sum / this.#rows };
  }
}
