import type { Capture } from "../capture/capture.ts";
import type { SampleInfo } from "../capture/sink.ts";
import type { MoeInfo } from "../engines/engine.ts";
import { type ChosenRows, chosenExperts, routedLayers } from "./scan/chosen.ts";

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
  const { moe } = capture.model;
  const groups = groupByLabel(capture.samples);
  const layers = new Map<number, LayerUsage>();
  for (const layer of routedLayers(capture)) {
    const tally = new UsageTally(moe!.experts, groups);
    for (const chunk of chosenExperts(capture, layer))
      tally.add(chunk, capture.rows.sample.subarray(chunk.from, chunk.from + chunk.rows));
    layers.set(layer, tally.result());
  }
  return usageOf(moe, layers);
}

export function usageOf(
  moe: Pick<MoeInfo, "experts" | "topK"> | null,
  layers: ExpertUsage["layers"],
): ExpertUsage {
  const { experts, topK } = moe ?? { experts: 0, topK: 0 };
  return { experts, topK, fairShare: experts === 0 ? 0 : topK / experts, layers };
}

/** The samples by their label. */
interface LabelGroups {
  /** In order of first appearance. */
  readonly labels: readonly (string | null)[];
  /** Per sample the index of its label. */
  readonly ofSample: Int32Array;
}

export function groupByLabel(samples: readonly SampleInfo[]): LabelGroups {
  const index = new Map<string | null, number>();
  const ofSample = Int32Array.from(samples, ({ label }) => {
    if (!index.has(label)) index.set(label, index.size);
    return index.get(label)!;
  });
  return { labels: [...index.keys()], ofSample };
}

/** Counts the usage of one layer, rows in any order. Holds two numbers per label and expert. */
export class UsageTally {
  readonly #experts: number;
  readonly #groups: LabelGroups;
  readonly #rows: Float64Array;
  /** `[labels, experts]`. */
  readonly #counts: Float64Array;
  readonly #weights: Float64Array;
  #weighted = true;

  constructor(experts: number, groups: LabelGroups) {
    const { length } = groups.labels;
    this.#experts = experts;
    this.#groups = groups;
    this.#rows = new Float64Array(length);
    this.#counts = new Float64Array(length * experts);
    this.#weights = new Float64Array(length * experts);
  }

  /** @param sample the sample of each row. */
  add({ ids, weights }: Pick<ChosenRows, "ids" | "weights">, sample: Int32Array): void {
    const topK = ids.length / sample.length;
    this.#weighted &&= weights !== null;
    for (let row = 0, i = 0; row < sample.length; row++) {
      const group = this.#groups.ofSample[sample[row]!]!;
      this.#rows[group]!++;
      const base = group * this.#experts;
      for (const end = (row + 1) * topK; i < end; i++) {
        this.#counts[base + ids[i]!]!++;
        if (weights) this.#weights[base + ids[i]!]! += weights[i]!;
      }
    }
  }

  result(): LayerUsage {
    const of = (all: Float64Array, group: number) =>
      all.slice(group * this.#experts, (group + 1) * this.#experts);
    const byLabel = this.#groups.labels.map((label, group): [string | null, UsageCounts] => [
      label,
      {
        rows: this.#rows[group]!,
        counts: of(this.#counts, group),
        weights: this.#weighted ? of(this.#weights, group) : null,
      },
    ]);
    return layerUsage(new Map(byLabel), this.#experts);
  }
}

/** A layer's usage from that of each label. */
export function layerUsage(byLabel: ReadonlyMap<string | null, UsageCounts>, experts: number): LayerUsage {
  const none = { rows: 0, counts: new Float64Array(experts), weights: new Float64Array(experts) };
  return { ...[...byLabel.values()].reduce<UsageCounts>(addCounts, none), byLabel };
}

export function addCounts(a: UsageCounts, b: UsageCounts): UsageCounts {
  const sum = (x: Float64Array, y: Float64Array) => x.map((value, i) => value + y[i]!);
  return {
    rows: a.rows + b.rows,
    counts: sum(a.counts, b.counts),
    weights: a.weights && b.weights && sum(a.weights, b.weights),
  };
}
