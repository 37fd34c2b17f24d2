import type { Capture } from "../capture/capture.ts";
import { chosenExperts, routedLayers } from "./scan/chosen.ts";

/** How often pairs of a layer's experts served the same row. */
export interface Coactivation {
  readonly rows: number;
  readonly experts: number;
  /** `[experts, experts]`, symmetric: rows that used both; the diagonal holds the rows that used the expert at all. */
  readonly counts: Float64Array;
  /**
   * `[experts, experts]`: counts / (counts[a] * counts[b] / rows), the count that independent experts would have.
   * NaN where one of the two was never used, and on the diagonal.
   */
  readonly lift: Float64Array;
  /**
   * Lift over all pairs together. Below 1 even when no pair is special, because a row picks different experts:
   * (topK - 1) / topK * experts / (experts - 1) for even usage. Compare a pair with this, not with 1.
   */
  readonly neutralLift: number;
}

/**
 * Co-activation of experts per layer: which of them serve the same tokens, against independence.
 *
 * Lift is P(a and b) / (P(a) P(b)) (Brin et al., SIGMOD 1997, there called interest).
 *
 * @throws RequestError `UNKNOWN_STREAM` when the capture has neither expert ids nor router logits.
 * @example
 * const { lift, neutralLift, experts } = coactivation(capture).get(3)!;
 * const friends = lift[2 * experts + 7]! / neutralLift; // above 1: experts 2 and 7 seek each other's company
 */
export function coactivation(capture: Capture): Map<number, Coactivation> {
  return new Map(routedLayers(capture).map((layer) => [layer, layerCoactivation(capture, layer)]));
}

/** {@link coactivation} of one layer. */
export function layerCoactivation(capture: Capture, layer: number): Coactivation {
  const tally = new PairTally(capture.model.moe?.experts ?? 0);
  for (const { rows, ids } of chosenExperts(capture, layer)) tally.add(ids, rows);
  return tally.result();
}

/** Counts the pairs of one layer. Holds experts x experts numbers. */
export class PairTally {
  readonly #experts: number;
  readonly #counts: Float64Array;
  #rows = 0;

  constructor(experts: number) {
    this.#experts = experts;
    this.#counts = new Float64Array(experts * experts);
  }

  add(ids: Uint16Array, rows: number): void {
    const topK = ids.length / rows;
    this.#rows += rows;
    for (let row = 0; row < rows; row++) {
      const end = (row + 1) * topK;
      for (let i = row * topK; i < end; i++) {
        const base = ids[i]! * this.#experts;
        for (let j = row * topK; j < end; j++) this.#counts[base + ids[j]!]!++;
      }
    }
  }

  result(): Coactivation {
    return coactivationOf(this.#counts, this.#experts, this.#rows);
  }
}

/** From the counts all that follows from them. */
export function coactivationOf(counts: Float64Array, experts: number, rows: number): Coactivation {
  return { rows, experts, counts, ...lifts(counts, experts, rows) };
}

function lifts(counts: Float64Array, experts: number, rows: number) {
  const lift = new Float64Array(experts * experts).fill(Number.NaN);
  let observed = 0;
  let expected = 0;
  for (let a = 0; a < experts; a++)
    for (let b = 0; b < experts; b++) {
      if (a === b) continue;
      const independent = (counts[a * experts + a]! * counts[b * experts + b]!) / rows;
      if (independent > 0) lift[a * experts + b] = counts[a * experts + b]! / independent;
      observed += counts[a * experts + b]!;
      expected += independent;
    }
  return { lift, neutralLift: observed / expected };
}
