import { checkUsage } from "../analysis/check-usage.ts";
import type { ExpertUsage } from "../analysis/expert-usage.ts";
import { largest } from "../core/extremes.ts";
import { type RankLayout, type RankPlacement, rebalanceExperts } from "./rebalance-experts.ts";

/** Where experts go under expert parallelism, and how even that makes the ranks. */
export interface ExpertParallelPlacement extends RankPlacement {
  readonly layout: Required<RankLayout>;
  /** The MoE layers of the usage, in the order of the maps. */
  readonly layers: readonly number[];
  readonly rows: number;
  /** By layer, the load of the busiest rank over the mean of the ranks; 1 is even. */
  readonly imbalance: readonly RankImbalance[];
}

/** How even the load of the ranks is in one layer: the busiest over the mean; 1 is even. */
export interface RankImbalance {
  readonly layer: number;
  /** Experts in their order, as many on each rank as on another, without replicas; `null` where they do not divide. */
  readonly inOrder: number | null;
  /** As placed, each replica with the same part of its expert's load. */
  readonly placed: number;
}

/**
 * Place the experts of every MoE layer on the ranks of an expert-parallel server, by measured usage; see
 * {@link rebalanceExperts}. The imbalance is that of the tokens the usage was counted on: others will be less even.
 *
 * @param usage `expertUsage(capture)`, or a usage reducer's.
 * @throws RequestError `INVALID_ARGUMENT` for a layout that does not divide, and for what is no usage.
 * @example
 * import { openCapture, placeOnRanks } from "moescope";
 * import { expertUsage } from "moescope/analysis";
 * const usage = expertUsage(await openCapture("run1"));
 * const { physicalToLogical, imbalance } = placeOnRanks(usage, { replicas: 160, ranks: 32, nodes: 4 });
 */
export function placeOnRanks(usage: ExpertUsage, layout: RankLayout): ExpertParallelPlacement {
  checkUsage("placeOnRanks", usage);
  const { replicas, ranks, nodes = 1, groups = 1 } = layout;
  const layers = [...usage.layers.keys()];
  const loads = layers.map((layer) => usage.layers.get(layer)!.counts);
  const placement = rebalanceExperts(loads, { replicas, ranks, nodes, groups });
  return {
    layout: { replicas, ranks, nodes, groups },
    layers,
    rows: Math.max(0, largest([...usage.layers.values()].map(({ rows }) => rows))),
    ...placement,
    imbalance: layers.map((layer, i) => ({
      layer,
      inOrder: usage.experts % ranks === 0 ? imbalanceOf([...loads[i]!.keys()], loads[i]!, ranks) : null,
      placed: imbalanceOf(placement.physicalToLogical[i]!, loads[i]!, ranks),
    })),
  };
}

/** @param places the expert of each place, rank after rank. */
function imbalanceOf(places: readonly number[], loads: ArrayLike<number>, ranks: number): number {
  const replicas = new Map<number, number>();
  for (const expert of places) replicas.set(expert, (replicas.get(expert) ?? 0) + 1);
  const ofRank = new Float64Array(ranks);
  places.forEach((expert, place) => {
    ofRank[Math.floor((place * ranks) / places.length)]! += loads[expert]! / replicas.get(expert)!;
  });
  const mean = ofRank.reduce((sum, n) => sum + n, 0) / ranks;
  return mean === 0 ? 1 : largest(ofRank) / mean;
}
