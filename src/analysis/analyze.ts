import { setImmediate } from "node:timers/promises";
import type { Capture } from "../capture/capture.ts";
import { RequestError } from "../errors.ts";
import { analyzeLayer, type LayerFindings, type TestSettings } from "./analyze-layer.ts";
import { benjaminiHochberg } from "./benjamini-hochberg.ts";
import type { CaptureAnalysis, GroupUsage, LayerAnalysis, StandOutExpert } from "./capture-analysis.ts";
import { routedLayers } from "./chosen.ts";
import { completenessOf, labelSummaries } from "./completeness.ts";
import type { LayerTest } from "./permutation-test.ts";
import { textStrips } from "./text-strips.ts";
import { labelledSamples } from "./units.ts";
import { checkPermutations } from "./usage-shift.ts";

export interface AnalyzeOptions {
  /** 0-based layers; negative ones count from the last. Default: all whose chosen experts are known. */
  readonly layers?: readonly number[];
  /** Random permutations of each test. Default 4999: p-values down to 0.0002. */
  readonly permutations?: number;
  /** Same seed, same p-values. Default 0. */
  readonly seed?: number;
  /** Samples in {@link CaptureAnalysis.texts}. Default 8. */
  readonly texts?: number;
  /** Aborting rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called as parts of the work end. */
  readonly onProgress?: (progress: AnalyzeProgress) => void;
}

export interface AnalyzeProgress {
  /** Parts that are done, of so many. */
  readonly done: number;
  readonly total: number;
}

/** Accepted part of false ones among the stand-outs. */
const ALPHA = 0.05;

/**
 * Find everything there is to see in a capture: usage and balance per layer, what experts specialise in and like, which
 * of them work together, how routing flows from layer to layer and changes along the text. Definitions and sources:
 * docs/analysis.md.
 *
 * A few thousand rows of a layer are in memory at a time, and counts per expert.
 *
 * @throws RequestError `UNKNOWN_LAYER` for a layer whose chosen experts are not in the capture, `UNKNOWN_STREAM` when
 *   it has neither expert ids nor router logits, `INVALID_ARGUMENT` for permutations that are no whole number from 1.
 * @example
 * const { layers, standOuts } = await analyzeCapture(await openCapture("run1"));
 * console.log(layers[0]?.balance?.cv, standOuts[0]);
 */
export async function analyzeCapture(
  capture: Capture,
  { layers, permutations = 4999, seed = 0, texts = 8, signal, onProgress }: AnalyzeOptions = {},
): Promise<CaptureAnalysis> {
  checkPermutations(permutations);
  const settings: TestSettings = { permutations, seed };
  const { moe } = capture.model;
  const analysed = moe ? chooseLayers(capture, layers) : [];
  const findings: LayerFindings[] = [];
  for (const layer of analysed) {
    signal?.throwIfAborted();
    onProgress?.({ done: findings.length, total: analysed.length });
    findings.push(analyzeLayer(capture, layer, settings));
    // Lets an abort and the reader of the progress come through.
    await setImmediate();
  }
  onProgress?.({ done: findings.length, total: analysed.length });
  const done = layerAnalyses(capture, findings);
  const { experts, topK } = moe ?? { experts: 0, topK: 0 };
  return {
    format: "moescope.analysis/1",
    model: capture.model,
    engine: capture.engine,
    experts,
    topK,
    fairShare: experts === 0 ? 0 : topK / experts,
    completeness: completenessOf(capture, analysed),
    labels: labelSummaries(capture),
    layers: done,
    standOuts: standOutsOf(done, experts === 0 ? 0 : topK / experts),
    flows: [],
    paths: [],
    texts: analysed.length === 0 ? [] : textStrips(capture, analysed, texts),
    settings,
  };
}

function chooseLayers(capture: Capture, wanted: readonly number[] | undefined): number[] {
  const having = routedLayers(capture);
  if (!wanted) return having;
  const resolved = wanted.map((layer) => (layer < 0 ? capture.model.layers + layer : layer));
  for (const layer of resolved)
    if (!having.includes(layer))
      throw new RequestError(
        "UNKNOWN_LAYER",
        `the capture does not tell which experts layer ${layer} chose; it does for ${having.join(", ")}`,
      );
  return having.filter((layer) => resolved.includes(layer));
}

function layerAnalyses(capture: Capture, findings: readonly LayerFindings[]): LayerAnalysis[] {
  const { labels } = labelledSamples(capture);
  const specialization = groupUsages(
    labels,
    findings.map((found) => found.labels),
  );
  return findings.map(({ analysis }, i) => ({
    ...analysis,
    specialization: specialization[i]!,
    tokenClasses: null,
    positions: null,
    phases: null,
  }));
}

/** Tests by layer as they are shown, with q-values over all of them. */
function groupUsages(groups: readonly string[], tests: readonly (LayerTest | null)[]): (GroupUsage | null)[] {
  const expertQ = [...benjaminiHochberg(tests.flatMap((test) => [...(test?.experts.pValues ?? [])]))];
  const shareQ = [...benjaminiHochberg(tests.flatMap((test) => [...(test?.shares.pValues ?? [])]))];
  return tests.map((test): GroupUsage | null => {
    if (!test) return null;
    const { counts, rows, layer, experts, shares } = test;
    const width = experts.observed.length;
    const byGroup = (values: ArrayLike<number>) =>
      groups.map((_, group) => Array.from({ length: width }, (_, expert) => values[group * width + expert]!));
    return {
      groups,
      rows: [...rows],
      counts: byGroup(counts),
      mutualInformation: layer.observed[0]!,
      chanceInformation: layer.chance[0]!,
      pValue: layer.pValues[0]!,
      experts: {
        mutualInformation: [...experts.observed],
        chanceInformation: [...experts.chance],
        pValues: [...experts.pValues],
        qValues: expertQ.splice(0, width),
      },
      shares: { pValues: byGroup(shares.pValues), qValues: byGroup(shareQ.splice(0, counts.length)) },
      testedRows: rows.reduce((sum, n) => sum + n, 0),
    };
  });
}

function standOutsOf(layers: readonly LayerAnalysis[], fairShare: number): StandOutExpert[] {
  return layers
    .flatMap(({ layer, specialization }) =>
      (specialization?.groups ?? []).flatMap((label, group) =>
        specialization!.counts[group]!.map((count, expert): StandOutExpert => {
          const share = count / specialization!.rows[group]!;
          return {
            layer,
            expert,
            label,
            count,
            share,
            timesFair: share / fairShare,
            pValue: specialization!.shares.pValues[group]![expert]!,
            qValue: specialization!.shares.qValues[group]![expert]!,
          };
        }),
      ),
    )
    .filter(({ timesFair, qValue }) => timesFair > 1 && qValue <= ALPHA)
    .sort((a, b) => b.timesFair - a.timesFair || a.layer - b.layer || a.expert - b.expert);
}
