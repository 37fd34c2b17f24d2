import type { Capture } from "../capture/capture.ts";
import { checkCapture } from "../capture/check-capture.ts";
import { type Coactivation, coactivationOf, pairCounts } from "./measures/tallies/pair-counts.ts";
import { routedLayers } from "./rows/chosen.ts";
import { talliedLayers } from "./scan/tallied-layers.ts";

/**
 * Co-activation of experts per layer: which of them serve the same tokens, against rows that draw their experts
 * independently, each expert as often as it is used; see `Coactivation`.
 *
 * @throws RequestError `UNKNOWN_STREAM` when the capture has neither expert ids nor router logits, `INVALID_ARGUMENT` for
 *   what is no capture.
 * @example
 * import { coactivation } from "moescope/analysis";
 * const { lift, experts } = coactivation(capture).get(3)!;
 * console.log(lift[2 * experts + 7]); // above 1: experts 2 and 7 serve the same tokens more often than chance
 */
export function coactivation(capture: Capture): Map<number, Coactivation> {
  checkCapture("coactivation", "capture", capture);
  return coactivationIn(capture, routedLayers(capture));
}

/** {@link coactivation} of some layers. */
export function coactivationIn(capture: Capture, layers: readonly number[]): Map<number, Coactivation> {
  return talliedLayers(capture, layers, pairCounts, (counts) =>
    coactivationOf(counts, capture.model.moe!.experts),
  );
}
