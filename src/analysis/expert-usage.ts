import type { Capture } from "../capture/capture.ts";
import { checkCapture } from "../capture/check-capture.ts";
import {
  allCounts,
  type ExpertCounts,
  expertCounts,
  labelCounts,
  type UsageCounts,
} from "./measures/tallies/expert-counts.ts";
import { routedLayers } from "./rows/chosen.ts";
import { talliedLayers } from "./scan/tallied-layers.ts";

/** The usage of one layer, over all rows and for each label. */
export interface LayerUsage extends UsageCounts {
  /** The same for the rows of each label; `null` stands for samples without one. In order of first appearance. */
  readonly byLabel: ReadonlyMap<string | null, UsageCounts>;
}

/** How often each expert of each layer was used: what {@link expertUsage} gives. */
export interface ExpertUsage {
  /** Routed experts per layer. */
  readonly experts: number;
  /** Experts used per token. */
  readonly topK: number;
  /** Part of the rows each expert would serve if all served alike: topK / experts. */
  readonly fairShare: number;
  /** By 0-based layer; empty for a dense model. */
  readonly layers: ReadonlyMap<number, LayerUsage>;
}

/**
 * Count how often each expert was used, per layer and label, in one pass over the capture.
 *
 * Counts the captured `expert_ids`, or, where only router logits were captured, what the model's own gating rule
 * chooses from them.
 *
 * @throws RequestError `UNKNOWN_STREAM` when the capture has neither, `INVALID_ARGUMENT` for what is no capture; see
 *   `chosenRows`.
 * @example
 * import { expertUsage } from "moescope/analysis";
 * const usage = expertUsage(capture);
 * const python = usage.layers.get(3)!.byLabel.get("python")!;
 * const share = python.counts[2]! / python.rows; // of the python tokens, the part that used expert 2
 * const againstFair = share / usage.fairShare; // 1 = fair
 */
export function expertUsage(capture: Capture): ExpertUsage {
  checkCapture("expertUsage", "capture", capture);
  return expertUsageOf(
    capture.model.moe,
    talliedLayers(capture, routedLayers(capture), expertCounts, (counts) => counts),
  );
}

/** Usage from what was counted of each layer. */
export function expertUsageOf(
  shape: Pick<ExpertUsage, "experts" | "topK"> | null,
  states: ReadonlyMap<number, ExpertCounts>,
): ExpertUsage {
  const { experts, topK } = shape ?? { experts: 0, topK: 0 };
  const layers = [...states].map(([layer, state]): [number, LayerUsage] => {
    const byLabel = new Map(labelCounts(state));
    return [layer, { ...allCounts(state, experts), byLabel }];
  });
  return { experts, topK, fairShare: experts === 0 ? 0 : topK / experts, layers: new Map(layers) };
}
