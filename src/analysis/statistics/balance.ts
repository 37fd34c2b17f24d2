import { largest } from "../../core/extremes.ts";
/** How evenly a layer's experts are used. */
export interface LoadBalance {
  /** Coefficient of variation; 0 is even. See {@link coefficientOfVariation}. */
  readonly cv: number;
  /** MaxVio; 0 is even, 1 means that the busiest expert has twice its share. See {@link maxViolation}. */
  readonly maxVio: number;
  /** Normalised entropy; 1 is even, 0 is a single expert. See {@link normalizedEntropy}. */
  readonly entropy: number;
}

/**
 * All measures of balance of one layer's usage counts (or of any amounts per expert).
 *
 * @example
 * import { expertUsage, loadBalance } from "moescope/analysis";
 * for (const [layer, { counts }] of expertUsage(capture).layers) {
 *   const { cv, maxVio, entropy } = loadBalance(counts);
 *   console.log(layer, cv.toFixed(2), maxVio.toFixed(2), entropy.toFixed(2));
 * }
 */
export function loadBalance(usage: ArrayLike<number>): LoadBalance {
  return {
    cv: coefficientOfVariation(usage),
    maxVio: maxViolation(usage),
    entropy: normalizedEntropy(usage),
  };
}

/**
 * Coefficient of variation: unbiased standard deviation / mean. 0 for a layer without rows; NaN for one expert.
 *
 * Source: EasySteer's `analyze_expert_usage`, with its 1e-8 added to the mean.
 *
 * @example
 * import { coefficientOfVariation, expertUsage } from "moescope/analysis";
 * for (const [layer, { counts }] of expertUsage(capture).layers) console.log(layer, coefficientOfVariation(counts));
 */
export function coefficientOfVariation(usage: ArrayLike<number>): number {
  const values = Array.from(usage);
  const mean = total(values) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1)) / (mean + 1e-8);
}

/**
 * MaxVio, the maximal violation of balance: (max load - mean load) / mean load. NaN for a layer without rows.
 *
 * Source: Wang et al., Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts, arXiv:2408.15664.
 *
 * @example
 * import { maxViolation } from "moescope/analysis";
 * maxViolation([10, 10, 10, 30]); // 1: the last expert has twice its share of 15
 */
export function maxViolation(usage: ArrayLike<number>): number {
  const values = Array.from(usage);
  const mean = total(values) / values.length;
  return (largest(values) - mean) / mean;
}

/**
 * Entropy of the usage distribution over its greatest possible value: -sum p ln p / ln(experts), p = usage / sum.
 * NaN for a layer without rows; 1 for one expert.
 *
 * Source: Pielou's evenness (J. Theoret. Biol. 13, 1966).
 *
 * @example
 * import { normalizedEntropy } from "moescope/analysis";
 * normalizedEntropy([5, 5, 5, 5]); // 1: even
 * normalizedEntropy([20, 0, 0, 0]); // 0: one expert does everything
 */
export function normalizedEntropy(usage: ArrayLike<number>): number {
  const values = Array.from(usage);
  if (values.length === 1) return 1;
  const sum = total(values);
  const entropy = values.reduce(
    (h, value) => (value === 0 ? h : h - (value / sum) * Math.log(value / sum)),
    0,
  );
  return sum === 0 ? Number.NaN : entropy / Math.log(values.length);
}

const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);
