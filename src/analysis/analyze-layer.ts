import type { Capture } from "../capture/capture.ts";
import { type LoadBalance, loadBalance, underusedExperts } from "./balance.ts";
import type { ExpertLoad, LabelUsage, LayerAnalysis } from "./capture-analysis.ts";
import { PairTally } from "./coactivation.ts";
import { coactivationSummary } from "./coactivation-summary.ts";
import { rowEntropy, rowMargin } from "./entropy.ts";
import { layerChunks } from "./layer-chunks.ts";
import { type LayerTest, testLayer } from "./permutation-test.ts";
import { SummaryTally } from "./row-summary.ts";
import { labelledSamples, unitsOf } from "./units.ts";
import { groupByLabel, type UsageCounts, UsageTally } from "./usage.ts";
import { wilsonInterval } from "./wilson.ts";

const CONFIDENCE = 0.95;

/** How the random parts of an analysis are made. */
export interface TestSettings {
  readonly permutations: number;
  readonly seed: number;
}

/** What one layer gives by itself; q-values need all layers. Plain data: it crosses threads. */
export interface LayerFindings {
  readonly analysis: Omit<LayerAnalysis, "specialization" | "tokenClasses" | "positions" | "phases">;
  readonly labels: LayerTest | null;
}

/** Analyse one layer: one pass over its rows, then the tests on what was counted. */
export function analyzeLayer(capture: Capture, layer: number, settings: TestSettings): LayerFindings {
  const { experts } = capture.model.moe!;
  const sampleOf = capture.rows.sample;
  const groups = groupByLabel(capture.samples);
  const usage = new UsageTally(experts, groups);
  const pairs = new PairTally(experts);
  const entropy = groupedTally(groups.labels.length);
  const margin = groupedTally(groups.labels.length);
  let withLogits = false;
  for (const chunk of layerChunks(capture, layer)) {
    const sample = sampleOf.subarray(chunk.from, chunk.from + chunk.rows);
    usage.add(chunk, sample);
    pairs.add(chunk.ids, chunk.rows);
    if (!chunk.logits) continue;
    withLogits = true;
    const groupOf = (row: number) => groups.ofSample[sample[row]!]!;
    rowEntropy(chunk.logits).forEach((value, row) => {
      entropy.add(value, groupOf(row));
    });
    rowMargin(chunk.logits, chunk.ids).forEach((value, row) => {
      margin.add(value, groupOf(row));
    });
  }
  const { byLabel, ...all } = usage.result();
  const { labels, labelOfSample } = labelledSamples(capture);
  return {
    analysis: {
      layer,
      rows: all.rows,
      experts: expertLoads(all),
      balance: balanceOf(all),
      byLabel: [...byLabel]
        .map(
          ([label, of], group): LabelUsage => ({
            label,
            rows: of.rows,
            counts: [...of.counts],
            weights: of.weights && [...of.weights],
            balance: balanceOf(of),
            entropy: entropy.groups[group]!.mean,
            margin: margin.groups[group]!.mean,
          }),
        )
        .filter(({ rows }) => rows > 0),
      entropy: withLogits ? entropy.all.result() : null,
      margin: withLogits ? margin.all.result() : null,
      coactivation: coactivationSummary(pairs.result()),
      tastes: [],
      hidden: null,
    },
    labels:
      labels.length < 2
        ? null
        : testLayer(
            unitsOf(capture, layer, labelOfSample, "sample"),
            labels.length,
            experts,
            settings.permutations,
            settings.seed,
          ),
  };
}

function groupedTally(count: number) {
  const all = new SummaryTally();
  const groups = Array.from({ length: count }, () => new SummaryTally());
  return {
    all,
    groups,
    add(value: number, group: number) {
      all.add(value);
      groups[group]!.add(value);
    },
  };
}

/** Loads are not defined without rows. */
const balanceOf = ({ rows, counts }: UsageCounts): LoadBalance | null =>
  rows === 0 ? null : finite(loadBalance(counts));

/** A layer of one expert has no variation. */
const finite = (balance: LoadBalance): LoadBalance => ({
  ...balance,
  cv: Number.isNaN(balance.cv) ? 0 : balance.cv,
});

function expertLoads(usage: UsageCounts): ExpertLoad[] {
  const { rows, counts, weights } = usage;
  const under = new Map(
    underusedExperts(usage, { confidence: CONFIDENCE }).map((found) => [found.expert, found]),
  );
  const choices = counts.reduce((sum, count) => sum + count, 0);
  const weightTotal = weights?.reduce((sum, weight) => sum + weight, 0) ?? 0;
  return Array.from(counts, (count, expert) => ({
    expert,
    count,
    share: rows === 0 ? 0 : count / rows,
    timesFair: choices === 0 ? 0 : (count * counts.length) / choices,
    interval: rows === 0 ? [0, 1] : wilsonInterval(count, rows, CONFIDENCE),
    weight: weights && weights[expert]!,
    weightShare: weights && weightTotal > 0 ? weights[expert]! / weightTotal : null,
    state: count === 0 ? "dead" : under.has(expert) ? "underused" : "used",
    certain: under.get(expert)?.certain ?? false,
  }));
}
