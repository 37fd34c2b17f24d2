import { chosenExperts, routedLayers } from "../analysis/chosen.ts";
import { wilsonInterval } from "../analysis/wilson.ts";
import type { Capture } from "../capture/capture.ts";
import { RequestError } from "../errors.ts";

type Interval = readonly [low: number, high: number];

/** What an expert does for the rows of a capture: little of all makes it a candidate for pruning. */
export interface PruneCandidate {
  readonly layer: number;
  readonly expert: number;
  /** Rows that used it. */
  readonly count: number;
  /** ... as part of all rows. */
  readonly share: number;
  /** Wilson score interval of the share, rows taken as independent. */
  readonly interval: Interval;
  /** Part of the layer's routing weight it carried; 1 / experts is even. */
  readonly weightShare: number;
  /** Jackknife interval of the weight share, samples taken as independent. */
  readonly weightInterval: Interval;
  /** The weight share among the rows of each label. */
  readonly byLabel: readonly { readonly label: string | null; readonly weightShare: number }[];
  /** The label it carries most of: what pruning it would hurt first. */
  readonly mostNeededBy: { readonly label: string | null; readonly weightShare: number };
}

export interface PruneCandidates {
  readonly rows: number;
  readonly samples: number;
  /** Part of a layer's routing weight that each expert would carry if all carried alike: 1 / experts. */
  readonly evenShare: number;
  /** Whether `weightShare` counts mixing weights; without captured weights every choice counts the same. */
  readonly weighted: boolean;
  /** All experts of all layers, those that carry least first. */
  readonly experts: readonly PruneCandidate[];
}

/** Two-sided, of the intervals. */
const CONFIDENCE = 0.95;
const NORMAL = 1.959963984540054;

/**
 * The experts of a capture by what they contribute: how often they are used, and the part of the routing weight they
 * carry, over all rows and for each label. Weights follow the idea of REAP (Lasby et al., arXiv:2510.13999), which
 * prunes by the router's weight times the norm of the expert's output; the norm is not in a capture of routing, and
 * an expert with small weights and large outputs looks less important here than it is.
 *
 * Little contribution on these texts is no proof of little use: pruning needs an evaluation of the pruned model on the
 * tasks that matter, rare ones among them.
 *
 * The weight share's interval is the delete-one jackknife over samples (Efron and Tibshirani, An Introduction to the
 * Bootstrap, 1993, chapter 11), because tokens of one text resemble each other. Holds two numbers per sample and
 * expert of one layer.
 *
 * @throws RequestError `INVALID_ARGUMENT` when there are no rows; `UNKNOWN_STREAM` without routing.
 */
export function pruneCandidates(capture: Capture): PruneCandidates {
  const layers = routedLayers(capture);
  if (capture.rows.length === 0 || layers.length === 0)
    throw new RequestError("INVALID_ARGUMENT", "this capture has no rows with routing to rank experts by");
  const tallies = layers.map((layer) => tallyLayer(capture, layer));
  const experts = layers.flatMap((layer, i) => candidatesOf(capture, layer, tallies[i]!));
  experts.sort((a, b) => a.weightShare - b.weightShare || a.count - b.count || a.layer - b.layer);
  return {
    rows: capture.rows.length,
    samples: tallies[0]!.samples.length,
    evenShare: 1 / capture.model.moe!.experts,
    weighted: tallies.every(({ weighted }) => weighted),
    experts,
  };
}

interface LayerTally {
  readonly counts: Float64Array;
  /** The samples that have rows. */
  readonly samples: readonly number[];
  /** `[samples, experts]`: routing weight. */
  readonly weights: Float64Array;
  readonly weighted: boolean;
}

function tallyLayer(capture: Capture, layer: number): LayerTally {
  const { experts } = capture.model.moe!;
  const samples = [...new Set(capture.rows.sample)];
  const place = new Map(samples.map((sample, i) => [sample, i]));
  const counts = new Float64Array(experts);
  const weights = new Float64Array(samples.length * experts);
  let weighted = true;
  for (const chunk of chosenExperts(capture, layer)) {
    const topK = chunk.ids.length / chunk.rows;
    weighted &&= chunk.weights !== null;
    for (let i = 0; i < chunk.ids.length; i++) {
      const sample = place.get(capture.rows.sample[chunk.from + Math.floor(i / topK)]!)!;
      counts[chunk.ids[i]!]!++;
      weights[sample * experts + chunk.ids[i]!]! += chunk.weights?.[i] ?? 1;
    }
  }
  return { counts, samples, weights, weighted };
}

function candidatesOf(
  capture: Capture,
  layer: number,
  { counts, samples, weights }: LayerTally,
): PruneCandidate[] {
  const experts = counts.length;
  const rows = capture.rows.length;
  const sumOf = (members: readonly number[], expert: number) =>
    members.reduce((sum, s) => sum + weights[s * experts + expert]!, 0);
  const totals = samples.map((_, s) =>
    weights.subarray(s * experts, (s + 1) * experts).reduce((sum, weight) => sum + weight, 0),
  );
  const labels = [...new Set(samples.map((sample) => capture.samples[sample]!.label))];
  const groups = labels.map((label) => {
    const members = samples.flatMap((sample, s) => (capture.samples[sample]!.label === label ? [s] : []));
    return { label, members, total: members.reduce((sum, s) => sum + totals[s]!, 0) };
  });
  const total = totals.reduce((sum, weight) => sum + weight, 0);
  return Array.from(counts, (count, expert): PruneCandidate => {
    const own = samples.map((_, s) => weights[s * experts + expert]!);
    const byLabel = groups.map(({ label, members, total }) => ({
      label,
      weightShare: total === 0 ? 0 : sumOf(members, expert) / total,
    }));
    return {
      layer,
      expert,
      count,
      share: count / rows,
      interval: wilsonInterval(count, rows, CONFIDENCE),
      weightShare: own.reduce((sum, weight) => sum + weight, 0) / total,
      weightInterval: jackknife(own, totals),
      byLabel,
      mostNeededBy: byLabel.reduce((most, next) => (next.weightShare > most.weightShare ? next : most)),
    };
  });
}

/** Interval of sum(parts) / sum(totals), a sample an observation. */
function jackknife(parts: readonly number[], totals: readonly number[]): Interval {
  const n = parts.length;
  const part = parts.reduce((sum, value) => sum + value, 0);
  const total = totals.reduce((sum, value) => sum + value, 0);
  const ratio = part / total;
  // One sample says nothing of others, and no use in n samples bounds the samples that would use it.
  if (n < 2) return [0, 1];
  if (part === 0) return wilsonInterval(0, n, CONFIDENCE);
  const without = parts.map((value, s) => (part - value) / (total - totals[s]!));
  const mean = without.reduce((sum, value) => sum + value, 0) / n;
  const squares = without.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const half = NORMAL * Math.sqrt(((n - 1) / n) * squares);
  return [Math.max(0, ratio - half), Math.min(1, ratio + half)];
}
