import type { Capture } from "../capture/capture.ts";
import { PairTally } from "./coactivation.ts";
import { groupByLabel, UsageTally } from "./expert-usage.ts";
import type { LabelUsage, LayerAnalysis } from "./layer-analysis.ts";
import { coactivationSummary } from "./measures/coactivation.ts";
import { hiddenRelation } from "./measures/hidden-states.ts";
import { type GroupCounts, GroupTally } from "./measures/tallies/group-counts.ts";
import { unitsOf } from "./measures/tallies/sample-counts.ts";
import { TasteTally } from "./measures/token-preferences.ts";
import { balanceOf, expertLoads } from "./measures/usage.ts";
import type { RowContext } from "./rows/row-context.ts";
import type { RowGroups } from "./rows/row-groups.ts";
import { TestedRows } from "./rows/tested-rows.ts";
import { layerChunks } from "./scan/layer-chunks.ts";
import { SummaryTally } from "./statistics/moments.ts";
import { type LayerTest, testLayer } from "./statistics/randomization/permutation-test.ts";
import { type DivergenceTest, testRotations } from "./statistics/randomization/rotation-test.ts";
import { rowEntropy, rowMargin } from "./statistics/row-entropy.ts";

/** How the random parts of an analysis are made. */
export interface TestSettings {
  /** Of labels between samples. */
  readonly permutations: number;
  /** Of groups within samples; see `testRotations`. */
  readonly rotations: number;
  readonly seed: number;
}

/** Groups of rows, what they did and what the test of it gave. */
interface TestedGroups<T> {
  readonly counts: GroupCounts;
  readonly test: T;
  readonly testedRows: number;
}

/** What one layer gives by itself; q-values need all layers. Plain data: it crosses threads. */
export interface LayerFindings {
  readonly analysis: Omit<LayerAnalysis, "specialization" | "tokenClasses" | "positions" | "phases">;
  /** `null` with fewer than two groups. */
  readonly labels: LayerTest | null;
  readonly tokenClasses: TestedGroups<LayerTest> | null;
  readonly positions: TestedGroups<DivergenceTest> | null;
  readonly phases: TestedGroups<DivergenceTest> | null;
}

/** Analyse one layer: one pass over its rows, then the tests on what was counted. */
export function analyzeLayer(
  capture: Capture,
  layer: number,
  context: RowContext,
  { permutations, rotations, seed }: TestSettings,
): LayerFindings {
  const { experts } = capture.model.moe!;
  const { labels, labelOfSample, tokenClasses, positions, phases } = context;
  const tally = layerTally(capture, context);
  for (const chunk of layerChunks(capture, layer)) tally.add(chunk);

  const { tested } = tally;
  const tests = testRotations(
    tested.sampleRows,
    { usage: [tested.in(tokenClasses)], divergence: [tested.in(positions), tested.in(phases)] },
    experts,
    rotations,
    seed,
  );
  const withTest = <T>({ names }: RowGroups, counts: GroupTally, test: T): TestedGroups<T> | null =>
    names.length < 2 ? null : { counts: counts.result(), test, testedRows: tested.rows };
  return {
    analysis: { layer, ...tally.result(), hidden: hiddenRelation(capture, layer, context.spans, seed) },
    labels:
      labels.length < 2
        ? null
        : testLayer(
            unitsOf(capture, layer, labelOfSample, "sample"),
            labels.length,
            experts,
            permutations,
            seed,
          ),
    tokenClasses: withTest(tokenClasses, tally.tokenClasses, tests.usage[0]!),
    positions: withTest(positions, tally.positions, tests.divergence[0]!),
    phases: withTest(phases, tally.phases, tests.divergence[1]!),
  };
}

/** Everything that is counted in the one pass. */
function layerTally(capture: Capture, context: RowContext) {
  const { experts } = capture.model.moe!;
  const byLabel = groupByLabel(capture.samples);
  const usage = new UsageTally(experts, byLabel);
  const pairs = new PairTally(experts);
  const tastes = new TasteTally(capture, context.types);
  const tested = new TestedRows(context.tested);
  const tokenClasses = new GroupTally(context.tokenClasses, experts);
  const positions = new GroupTally(context.positions, experts);
  const phases = new GroupTally(context.phases, experts);
  const entropy = labelledSummary(byLabel.labels.length);
  const margin = labelledSummary(byLabel.labels.length);
  let withLogits = false;
  return {
    tested,
    tokenClasses,
    positions,
    phases,
    add(chunk: Parameters<TasteTally["add"]>[0]) {
      const sample = capture.rows.sample.subarray(chunk.from, chunk.from + chunk.rows);
      usage.add(chunk, sample);
      pairs.add(chunk.ids, chunk.rows);
      tastes.add(chunk);
      tested.add(chunk);
      const nats = chunk.logits && rowEntropy(chunk.logits);
      for (const groups of [tokenClasses, positions, phases]) groups.add(chunk, nats);
      if (!chunk.logits) return;
      withLogits = true;
      const margins = rowMargin(chunk.logits, chunk.ids);
      for (let row = 0; row < chunk.rows; row++) {
        const group = byLabel.ofSample[sample[row]!]!;
        entropy.add(nats![row]!, group);
        margin.add(margins[row]!, group);
      }
    },
    result(): Omit<LayerFindings["analysis"], "layer" | "hidden"> {
      const { byLabel: groups, ...all } = usage.result();
      return {
        rows: all.rows,
        experts: expertLoads(all),
        balance: balanceOf(all),
        byLabel: [...groups]
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
        tastes: tastes.result(),
      };
    },
  };
}

function labelledSummary(labels: number) {
  const all = new SummaryTally();
  const groups = Array.from({ length: labels }, () => new SummaryTally());
  return {
    all,
    groups,
    add(value: number, group: number) {
      all.add(value);
      groups[group]!.add(value);
    },
  };
}
