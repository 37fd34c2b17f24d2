import type { UsageCounts } from "../expert-usage.ts";
import { wilsonInterval } from "./wilson.ts";

/** How evenly a layer's experts are used. */
export interface LoadBalance {
  /** Coefficient of variation; 0 is even. See {@link coefficientOfVariation}. */
  readonly cv: number;
  /** MaxVio; 0 is even, 1 means that the busiest expert has twice its share. See {@link maxViolation}. */
  readonly maxVio: number;
  /** Normalised entropy; 1 is even, 0 is a single expert. See {@link normalizedEntropy}. */
  readonly entropy: number;
}

/** All measures of balance of one layer's usage counts (or of any amounts per expert). */
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
 */
export function maxViolation(usage: ArrayLike<number>): number {
  const values = Array.from(usage);
  const mean = total(values) / values.length;
  return (Math.max(...values) - mean) / mean;
}

/**
 * Entropy of the usage distribution over its greatest possible value: -sum p ln p / ln(experts), p = usage / sum.
 * NaN for a layer without rows; 1 for one expert.
 *
 * Source: Pielou's evenness (J. Theoret. Biol. 13, 1966).
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

export interface UnderusedOptions {
  /** An expert is underused below this part of the fair share. Default 0.5, EasySteer's rule. */
  readonly threshold?: number;
  /** Confidence of the intervals. Default 0.95. */
  readonly confidence?: number;
}

export interface UnderusedExpert {
  readonly expert: number;
  /** Rows that used it. */
  readonly count: number;
  /** Part of the rows that used it; 0 for a dead expert. */
  readonly share: number;
  /** Where the share lies beyond these rows, with the given confidence. */
  readonly interval: readonly [low: number, high: number];
  /**
   * Whether the rows suffice to say so: the whole interval lies below the threshold. A small capture leaves experts
   * unused by chance.
   */
  readonly certain: boolean;
}

/**
 * The experts of a layer that serve less than `threshold` times their fair share, least used first. Experts with
 * `count` 0 are dead: nothing chose them.
 *
 * The interval (Wilson score) takes rows as independent. Tokens of one text resemble each other, so it is narrower
 * than it should be: capture many different texts before calling an expert dead.
 *
 * @example
 * const dead = underusedExperts(usage.layers.get(3)!).filter(({ count, certain }) => count === 0 && certain);
 */
export function underusedExperts(
  { rows, counts }: Pick<UsageCounts, "rows" | "counts">,
  { threshold = 0.5, confidence = 0.95 }: UnderusedOptions = {},
): UnderusedExpert[] {
  if (rows === 0) return [];
  const limit = (threshold * total(Array.from(counts))) / rows / counts.length;
  return Array.from(counts, (count, expert) => {
    const interval = wilsonInterval(count, rows, confidence);
    return { expert, count, share: count / rows, interval, certain: interval[1] < limit };
  })
    .filter(({ share }) => share < limit)
    .sort((a, b) => a.count - b.count || a.expert - b.expert);
}

const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);
