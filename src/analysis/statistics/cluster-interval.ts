import { studentQuantile } from "./student.ts";
import { normalQuantile, wilsonInterval } from "./wilson.ts";

/**
 * Texts are put together into at most so many units, every 64th into one: with more, 95 % intervals hardly change,
 * and there are as many sums to keep however many texts there are.
 */
export const CLUSTER_UNITS = 64;

/**
 * How far the use of experts differs between texts: sums over units, each a text or a few, of their rows n and of the
 * rows c that used an expert. Those of two runs add up.
 */
export interface UsageSpread {
  /** Texts that have rows. */
  readonly texts: number;
  /** Units that have rows: texts where they are few. */
  readonly units: number;
  /** Σ n². */
  readonly nn: number;
  /** By expert Σ c². */
  readonly cc: Float64Array;
  /** By expert Σ c n. */
  readonly cn: Float64Array;
}

/**
 * Where the share of an expert lies beyond these texts: Wilson's interval for as many independent rows as the texts are
 * worth. They are worth p (1 - p) / v, v the variance of the share with a unit as one observation, and Student's
 * quantile of the units less one takes the place of the normal one. An expert that no text used, or all rows did, is
 * worth an observation a text.
 *
 * Sources: Kish, Survey Sampling (1965), for v and the effective size; Korn and Graubard, Surv. Methodol. 24 (1998), for
 * the degrees of freedom; Dean and Pagano, J. Surv. Stat. Methodol. 3 (2015), for Wilson's interval of it.
 *
 * @param count rows that used the expert, of `rows`.
 * @param confidence between 0 and 1, e.g. 0.95.
 * @returns `[0, 1]` from one text, which tells nothing of others.
 */
export function shareInterval(
  count: number,
  rows: number,
  { texts, units, nn, cc, cn }: UsageSpread,
  expert: number,
  confidence: number,
): [low: number, high: number] {
  const p = count / rows;
  const squares = cc[expert]! - 2 * p * cn[expert]! + p * p * nn;
  return effectiveInterval(p, rows, texts, units, squares, confidence);
}

/**
 * @param squares Σ (c - p n)² over the units.
 * @param texts observations that a share of 0 or 1 rests on.
 */
export function effectiveInterval(
  p: number,
  rows: number,
  texts: number,
  units: number,
  squares: number,
  confidence: number,
): [low: number, high: number] {
  if (!(units > 1) || !(rows > 0)) return [0, 1];
  const variance = (units / (units - 1)) * (Math.max(0, squares) / (rows * rows));
  const share = Math.min(1, Math.max(0, p));
  const inside = share > 0 && share < 1;
  const worth =
    inside && variance > 0 ? Math.min(rows, (share * (1 - share)) / variance) : inside ? rows : texts;
  const ratio = normalQuantile(0.5 + confidence / 2) / quantile(confidence, units - 1);
  const effective = worth * ratio * ratio;
  return wilsonInterval(share * effective, effective, confidence);
}

const QUANTILES = new Map<string, number>();

function quantile(confidence: number, degrees: number): number {
  const key = `${confidence} ${degrees}`;
  let found = QUANTILES.get(key);
  if (found === undefined) {
    found = studentQuantile(0.5 + confidence / 2, degrees);
    QUANTILES.set(key, found);
  }
  return found;
}
