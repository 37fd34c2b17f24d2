import { number, optionsReader } from "../core/options.ts";
import type { UsageCounts } from "./measures/tallies/expert-counts.ts";
import { shareInterval } from "./statistics/cluster-interval.ts";

/** What {@link underusedExperts} calls underused, and how sure its intervals are. */
export interface UnderusedOptions {
  /** An expert is underused below this part of the fair share. Default 0.5, EasySteer's rule. */
  readonly threshold?: number;
  /** Confidence of the intervals. Default 0.95. */
  readonly confidence?: number;
}

/** An expert that serves less than its share, and whether the texts suffice to say so. */
export interface UnderusedExpert {
  readonly expert: number;
  /** Rows that used it. */
  readonly count: number;
  /** Part of the rows that used it; 0 for a dead expert. */
  readonly share: number;
  /** Where the share lies beyond these texts, with the given confidence; see `shareInterval`. */
  readonly interval: readonly [low: number, high: number];
  /**
   * Whether the texts suffice to say so: the whole interval lies below the threshold. A few texts leave experts unused
   * by chance, however long they are.
   */
  readonly significant: boolean;
}

/** With fewer, what is called underused too often is not: see docs/analysis.md, calibration. */
export const LEAST_TEXTS = 30;

const read = optionsReader<UnderusedOptions>("underusedExperts", {
  threshold: number("above 0", (value) => value > 0),
  confidence: number("between 0 and 1", (value) => value > 0 && value < 1),
});

/**
 * The experts of a layer that serve less than `threshold` times their fair share, least used first. Experts with
 * `count` 0 are dead: nothing chose them.
 *
 * Intervals take a text as one observation, because its tokens resemble each other. With fewer than 30 texts none is
 * significant, and an expert that n texts did not use may still serve a few percent of what others would ask.
 *
 * @throws RequestError `INVALID_ARGUMENT` for an unknown option or one out of range.
 * @example
 * import { expertUsage, underusedExperts } from "moescope/analysis";
 * const usage = expertUsage(capture).layers.get(3)!;
 * const dead = underusedExperts(usage).filter(({ count, significant }) => count === 0 && significant);
 */
export function underusedExperts(
  { rows, counts, spread }: Pick<UsageCounts, "rows" | "counts" | "spread">,
  options: UnderusedOptions = {},
): UnderusedExpert[] {
  const { threshold = 0.5, confidence = 0.95 } = read(options);
  if (rows === 0) return [];
  const choices = counts.reduce((sum, count) => sum + count, 0);
  const limit = (threshold * choices) / rows / counts.length;
  const sure = spread !== null && spread.texts >= LEAST_TEXTS;
  return Array.from(counts, (count, expert) => {
    const interval = spread ? shareInterval(count, rows, spread, expert, confidence) : ([0, 1] as const);
    return { expert, count, share: count / rows, interval, significant: sure && interval[1] < limit };
  })
    .filter(({ share }) => share < limit)
    .sort((a, b) => a.count - b.count || a.expert - b.expert);
}
