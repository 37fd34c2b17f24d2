import type { Capture } from "../capture/capture.ts";
import { chosenExperts, routedLayers } from "./chosen.ts";

/** How often a set of rows used each expert. */
export interface UsageCounts {
  /** Rows counted. */
  readonly rows: number;
  /** Per expert the rows that used it; they add up to `rows * topK`. */
  readonly counts: Float64Array;
  /** Per expert the sum of its mixing weights; `null` when the weights were not captured with the ids. */
  readonly weights: Float64Array | null;
}

export interface LayerUsage extends UsageCounts {
  /** The same for the rows of each label; `null` stands for samples without one. In order of first appearance. */
  readonly byLabel: ReadonlyMap<string | null, UsageCounts>;
}

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
 * @throws RequestError `UNKNOWN_STREAM` when the capture has neither; see {@link chosenRows}.
 * @example
 * const usage = expertUsage(capture);
 * const python = usage.layers.get(3)!.byLabel.get("python")!;
 * const share = python.counts[2]! / python.rows; // of the python tokens, the part that used expert 2
 * const againstFair = share / usage.fairShare; // 1 = fair
 */
export function expertUsage(capture: Capture): ExpertUsage {
  const { experts, topK } = capture.model.moe ?? { experts: 0, topK: 0 };
  const labels = [...new Set(capture.samples.map(({ label }) => label))];
  const labelOfSample = Int32Array.from(capture.samples, ({ label }) => labels.indexOf(label));
  const layers = new Map<number, LayerUsage>();
  for (const layer of routedLayers(capture)) {
    const groups = countByGroup(capture, layer, labelOfSample, labels.length);
    const byLabel = new Map(labels.map((label, i) => [label, groups[i]!]));
    layers.set(layer, { ...sum(groups, experts), byLabel });
  }
  return { experts, topK, fairShare: experts === 0 ? 0 : topK / experts, layers };
}

/** Usage of one layer by group of samples. */
function countByGroup(
  capture: Capture,
  layer: number,
  groupOfSample: Int32Array,
  groups: number,
): UsageCounts[] {
  const experts = capture.model.moe!.experts;
  const rows = new Float64Array(groups);
  const counts = Array.from({ length: groups }, () => new Float64Array(experts));
  const sums = Array.from({ length: groups }, () => new Float64Array(experts));
  let weighted = true;
  for (const chunk of chosenExperts(capture, layer)) {
    const topK = chunk.ids.length / chunk.rows;
    weighted &&= chunk.weights !== null;
    for (let row = 0; row < chunk.rows; row++) {
      const group = groupOfSample[capture.rows.sample[chunk.from + row]!]!;
      rows[group]!++;
      for (let i = row * topK; i < (row + 1) * topK; i++) {
        counts[group]![chunk.ids[i]!]!++;
        if (chunk.weights) sums[group]![chunk.ids[i]!]! += chunk.weights[i]!;
      }
    }
  }
  return counts.map((c, g) => ({ rows: rows[g]!, counts: c, weights: weighted ? sums[g]! : null }));
}

function sum(groups: readonly UsageCounts[], experts: number): UsageCounts {
  const total = (pick: (group: UsageCounts) => Float64Array) =>
    Float64Array.from({ length: experts }, (_, e) => groups.reduce((s, group) => s + pick(group)[e]!, 0));
  return {
    rows: groups.reduce((s, group) => s + group.rows, 0),
    counts: total((group) => group.counts),
    weights: groups.every((group) => group.weights) ? total((group) => group.weights!) : null,
  };
}
