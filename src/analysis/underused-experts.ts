import { number, optionsReader } from "../core/options.ts";
import type { UsageCounts } from "./measures/tallies/expert-counts.ts";
import { wilsonInterval } from "./statistics/wilson.ts";

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
  readonly significant: boolean;
}

const read = optionsReader<UnderusedOptions>("underusedExperts", {
  threshold: number("above 0", (value) => value > 0),
  confidence: number("between 0 and 1", (value) => value > 0 && value < 1),
});

/**
 * The experts of a layer that serve less than `threshold` times their fair share, least used first. Experts with
 * `count` 0 are dead: nothing chose them.
 *
 * The interval (Wilson score) takes rows as independent. Tokens of one text resemble each other, so it is narrower
 * than it should be: capture many different texts before calling an expert dead.
 *
 * @throws RequestError `INVALID_ARGUMENT` for an unknown option or one out of range.
 * @example
 * const usage = expertUsage(capture).layers.get(3)!;
 * const dead = underusedExperts(usage).filter(({ count, significant }) => count === 0 && significant);
 */
export function underusedExperts(
  { rows, counts }: Pick<UsageCounts, "rows" | "counts">,
  options: UnderusedOptions = {},
): UnderusedExpert[] {
  const { threshold = 0.5, confidence = 0.95 } = read(options);
  if (rows === 0) return [];
  const choices = counts.reduce((sum, count) => sum + count, 0);
  const limit = (threshold * choices) / rows / counts.length;
  return Array.from(counts, (count, expert) => {
    const interval = wilsonInterval(count, rows, confidence);
    return { expert, count, share: count / rows, interval, significant: interval[1] < limit };
  })
    .filter(({ share }) => share < limit)
    .sort((a, b) => a.count - b.count || a.expert - b.expert);
}
