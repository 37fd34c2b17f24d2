import { chosenRows, hasStream } from "../analysis/rows/chosen.ts";
import { jackknifeHalfWidth } from "../analysis/statistics/jackknife.ts";
import type { Capture } from "../capture/capture.ts";
import { isFiniteRow } from "../core/finite-rows.ts";
import { moeLayer } from "../core/moe-layer.ts";

/** How much an expert adds to its layer's output where it is used. */
export interface ReapScore {
  /** Mean of g ‖f‖ over the rows that used the expert: the norm of what it adds to the residual stream. 0 without rows. */
  readonly score: number;
  /** 95 % jackknife interval of it, samples taken as independent; `null` when fewer than two samples used it. */
  readonly interval: readonly [low: number, high: number] | null;
  /** {@link score} over the mean score of the layer's experts. Norms grow with depth, so this compares layers. */
  readonly relative: number;
}

/** Values of expert outputs read at a time: 8 MB. */
const READ_VALUES = 2 ** 21;

/**
 * Whether a layer's {@link reapScores} can be computed: what experts put out and their weights were captured, and it is
 * known whether the weights are in what they put out.
 */
export const hasReapScores = (capture: Capture, layer: number): boolean =>
  moeLayer(capture.model.moe!, layer).gating !== null &&
  (["expert_outputs", "expert_ids", "expert_weights"] as const).every((stream) =>
    hasStream(capture, stream, layer),
  );

/** By expert, and how many rows are left out. */
export interface LayerReapScores {
  readonly scores: readonly ReapScore[];
  readonly notFinite: number;
}

/**
 * The router-weighted expert activation of every expert of a layer: S_j = (1 / |X_j|) Σ_{x in X_j} g_j(x) ‖f_j(x)‖₂,
 * X_j the rows that used expert j, g its weight as the engine mixed with it, f its output (Lasby et al., REAP the
 * Experts, arXiv:2510.13999). Norms are summed in float64; some rows are in memory at a time. Rows whose weights or outputs
 * are not finite are left out and counted.
 *
 * @param samples those that have rows, in the order of their first.
 */
export function reapScores(capture: Capture, layer: number, samples: readonly number[]): LayerReapScores {
  const { experts, gating } = moeLayer(capture.model.moe!, layer);
  // An expert that gets a weighted input puts out what is weighted already: g is not taken twice.
  const weighted = gating!.weighted === "inputs";
  const place = new Map(samples.map((sample, i) => [sample, i]));
  /** `[samples, experts]`. */
  const norms = new Float64Array(samples.length * experts);
  const counts = new Float64Array(norms.length);
  let notFinite = 0;
  const step = Math.max(1, Math.floor(READ_VALUES / capture.expertOutputs.width(layer)));
  for (let from = 0; from < capture.rows.length; from += step) {
    const to = Math.min(capture.rows.length, from + step);
    const { ids, weights } = chosenRows(capture, layer, from, to);
    const { data } = capture.expertOutputs.rows(layer, from, to);
    const width = data.length / ids.length;
    const topK = ids.length / (to - from);
    for (let i = 0; i < ids.length; i++) {
      if (i % topK === 0 && !isWhole(weights!, data, i, topK, width)) {
        notFinite++;
        i += topK - 1;
        continue;
      }
      let squares = 0;
      for (let at = i * width; at < (i + 1) * width; at++) squares += data[at]! * data[at]!;
      const sample = place.get(capture.rows.sample[from + Math.floor(i / topK)]!)!;
      norms[sample * experts + ids[i]!]! += (weighted ? 1 : weights![i]!) * Math.sqrt(squares);
      counts[sample * experts + ids[i]!]!++;
    }
  }
  const column = (of: Float64Array, expert: number) => samples.map((_, s) => of[s * experts + expert]!);
  const scores = Array.from({ length: experts }, (_, expert) => {
    const [parts, totals] = [column(norms, expert), column(counts, expert)];
    const total = sum(totals);
    const score = total === 0 ? 0 : sum(parts) / total;
    const half = total === 0 ? null : jackknifeHalfWidth(parts, totals);
    const interval = half === null ? null : ([Math.max(0, score - half), score + half] as const);
    return { score, interval };
  });
  const mean = sum(scores.map(({ score }) => score)) / experts;
  return {
    scores: scores.map(({ score, interval }) => ({
      score,
      interval,
      relative: mean === 0 ? 0 : score / mean,
    })),
    notFinite,
  };
}

/** Whether all that the experts of a row put out, and their weights, are finite. */
const isWhole = (weights: Float32Array, outputs: Float32Array, from: number, topK: number, width: number) =>
  isFiniteRow(weights, from, from + topK) && isFiniteRow(outputs, from * width, (from + topK) * width);

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
