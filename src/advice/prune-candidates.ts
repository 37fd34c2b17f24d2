import { expertUsage, type LayerUsage } from "../analysis/expert-usage.ts";
import { chosenExperts, routedLayers } from "../analysis/rows/chosen.ts";
import { effectiveInterval, shareInterval } from "../analysis/statistics/cluster-interval.ts";
import type { Capture } from "../capture/capture.ts";
import { checkCapture } from "../capture/check-capture.ts";
import { RequestError } from "../core/errors.ts";
import { rowsNotFinite } from "../core/finite-rows.ts";
import { hasReapScores, type ReapScore, reapScores } from "./reap.ts";

/** Where a value lies beyond these samples, with a confidence of 95 %. */
export type Interval = readonly [low: number, high: number];

/** What an expert does for the rows of a capture: little of all makes it a candidate for pruning. */
export interface PruneCandidate {
  readonly layer: number;
  readonly expert: number;
  /** Rows that used it. */
  readonly count: number;
  /** ... as part of all rows. */
  readonly share: number;
  /** Interval of the share, a text as one observation; see `shareInterval`. */
  readonly interval: Interval;
  /** Part of the layer's routing weight it carried; 1 / experts is even. */
  readonly weightShare: number;
  /** Interval of the weight share, a text as one observation. */
  readonly weightInterval: Interval;
  /** The norm of what it adds where it is used; `null` unless `expert_outputs` were captured with the routing. */
  readonly reap: ReapScore | null;
  /** The weight share among the rows of each label. */
  readonly byLabel: readonly { readonly label: string | null; readonly weightShare: number }[];
  /** The label it carries most of: what pruning it would hurt first. */
  readonly mostNeededBy: { readonly label: string | null; readonly weightShare: number };
}

/** The experts of a model in the order in which they could be pruned: what {@link pruneCandidates} gives. */
export interface PruneCandidates {
  readonly rows: number;
  readonly samples: number;
  /**
   * Rows, summed over the layers, whose weights or outputs are NaN or infinite: left out of weight shares and scores, but
   * not of the counts.
   */
  readonly notFinite: number;
  /** Part of a layer's routing weight that each expert would carry if all carried alike: 1 / experts. */
  readonly evenShare: number;
  /** Whether `weightShare` counts mixing weights; without captured weights every choice counts the same. */
  readonly weighted: boolean;
  /** What {@link experts} is ordered by: `relative` of the REAP scores where every layer has them, else `weightShare`. */
  readonly score: "reap" | "weightShare";
  /** All experts of all layers, those with the lowest score first. */
  readonly experts: readonly PruneCandidate[];
}

/** Two-sided, of the intervals. */
const CONFIDENCE = 0.95;

/**
 * The experts of a capture by what they contribute: how often they are used, the part of the routing weight they
 * carry, over all rows and for each label, and where `expert_outputs` were captured the score of REAP (Lasby et al.,
 * arXiv:2510.13999): the mean norm of an expert's weighted output over the rows that used it. Without outputs the
 * weight share ranks, and an expert with small weights and large outputs looks less important than it is.
 *
 * Little contribution on these texts is no proof of little use: pruning needs an evaluation of the pruned model on the
 * tasks that matter, rare ones among them.
 *
 * Intervals take a sample as one observation, because tokens of one text resemble each other. Holds some
 * numbers per sample and expert of one layer, and 8 MB of outputs.
 *
 * @throws RequestError `INVALID_ARGUMENT` for what is no capture and when there are no rows; `UNKNOWN_STREAM` without routing.
 * @example
 * import { pruneCandidates } from "moescope";
 * const { score, experts } = pruneCandidates(capture);
 * for (const { layer, expert, weightShare } of experts.slice(0, 10))
 *   console.log(`by ${score}: expert ${expert} of layer ${layer} carries ${(100 * weightShare).toFixed(2)} %`);
 */
export function pruneCandidates(capture: Capture): PruneCandidates {
  checkCapture("pruneCandidates", "the capture", capture);
  const layers = routedLayers(capture);
  if (capture.rows.length === 0 || layers.length === 0)
    throw new RequestError("INVALID_ARGUMENT", "this capture has no rows with routing to rank experts by");
  const tallies = layers.map((layer) => tallyLayer(capture, layer));
  const usage = expertUsage(capture).layers;
  const found = layers.map((layer, i) => candidatesOf(capture, layer, tallies[i]!, usage.get(layer)!));
  const experts = found.flatMap((of) => of.candidates);
  const score = experts.every(({ reap }) => reap) ? "reap" : "weightShare";
  const scoreOf = (of: PruneCandidate) => (score === "reap" ? of.reap!.relative : of.weightShare);
  experts.sort((a, b) => scoreOf(a) - scoreOf(b) || a.count - b.count || a.layer - b.layer);
  return {
    rows: capture.rows.length,
    samples: tallies[0]!.samples.length,
    notFinite: found.reduce((sum, of) => sum + of.notFinite, 0),
    evenShare: 1 / capture.model.moe!.experts,
    weighted: tallies.every(({ weighted }) => weighted),
    score,
    experts,
  };
}

interface LayerTally {
  /** The samples that have rows. */
  readonly samples: readonly number[];
  /** `[samples, experts]`: routing weight. */
  readonly weights: Float64Array;
  readonly weighted: boolean;
  readonly notFinite: number;
}

function tallyLayer(capture: Capture, layer: number): LayerTally {
  const { experts } = capture.model.moe!;
  const samples = [...new Set(capture.rows.sample)];
  const place = new Map(samples.map((sample, i) => [sample, i]));
  const weights = new Float64Array(samples.length * experts);
  let weighted = true;
  let notFinite = 0;
  for (const chunk of chosenExperts(capture, layer)) {
    const topK = chunk.ids.length / chunk.rows;
    weighted &&= chunk.weights !== null;
    const broken = chunk.weights && rowsNotFinite(chunk.weights, topK);
    notFinite += broken?.reduce((sum, of) => sum + of, 0) ?? 0;
    for (let i = 0; i < chunk.ids.length; i++) {
      if (broken?.[Math.floor(i / topK)] === 1) continue;
      const sample = place.get(capture.rows.sample[chunk.from + Math.floor(i / topK)]!)!;
      weights[sample * experts + chunk.ids[i]!]! += chunk.weights?.[i] ?? 1;
    }
  }
  return { samples, weights, weighted, notFinite };
}

function candidatesOf(
  capture: Capture,
  layer: number,
  { samples, weights, notFinite }: LayerTally,
  { counts, spread }: LayerUsage,
): { readonly candidates: PruneCandidate[]; readonly notFinite: number } {
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
  const reap = hasReapScores(capture, layer) ? reapScores(capture, layer, samples) : null;
  const candidates = Array.from(counts, (count, expert): PruneCandidate => {
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
      interval: spread ? shareInterval(count, rows, spread, expert, CONFIDENCE) : [0, 1],
      weightShare: total === 0 ? 0 : own.reduce((sum, weight) => sum + weight, 0) / total,
      weightInterval: partInterval(own, totals),
      reap: reap?.scores[expert] ?? null,
      byLabel,
      mostNeededBy: byLabel.reduce((most, next) => (next.weightShare > most.weightShare ? next : most)),
    };
  });
  return { candidates, notFinite: reap?.notFinite ?? notFinite };
}

/** Interval of sum(parts) / sum(totals), which is from 0 to 1; a sample is an observation. */
function partInterval(parts: readonly number[], totals: readonly number[]): Interval {
  const part = parts.reduce((sum, value) => sum + value, 0);
  const total = totals.reduce((sum, value) => sum + value, 0);
  const ratio = part / total;
  const squares = parts.reduce((sum, value, i) => sum + (value - ratio * totals[i]!) ** 2, 0);
  return effectiveInterval(ratio, total, parts.length, parts.length, squares, CONFIDENCE);
}
