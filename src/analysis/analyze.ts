import { availableParallelism } from "node:os";
import type { Capture } from "../capture/capture.ts";
import { checkCapture } from "../capture/check-capture.ts";
import { editsInForce } from "../capture/edits-in-force.ts";
import { RequestError } from "../core/errors.ts";
import { smallest } from "../core/extremes.ts";
import { abortSignal, callback, list, oneOf, optionsReader, text, whole } from "../core/options.ts";
import { ANALYSIS_FORMAT, type CaptureAnalysis } from "./capture-analysis.ts";
import type { Cost, Measure, ScanSettings } from "./measures/measure.ts";
import { allMeasures, type MeasureName, withSources } from "./measures/registry.ts";
import { routedLayers } from "./rows/chosen.ts";
import { completenessOf, labelSummaries } from "./rows/completeness.ts";
import { type ScanProgress, scanCapture } from "./scan/scan-capture.ts";
import { DEFAULT_PERMUTATIONS } from "./statistics/randomization/random.ts";

/** Which measures {@link analyzeCapture} takes, of which layers and samples, and how it works. */
export interface AnalyzeOptions<M extends MeasureName = MeasureName> {
  /** Which measures, by name; what none of them needs is not read. Default: all. */
  readonly measures?: readonly M[];
  /** 0-based layers; negative ones count from the last. Default: all whose chosen experts are known. */
  readonly layers?: readonly number[];
  /** Only samples with one of these labels. Default: all samples. */
  readonly labels?: readonly string[];
  /**
   * Random permutations of labels. Default 1999: p-values down to 0.0005, and as q is corrected by the greatest of all
   * statistics it reaches as far in models of any size. Tests within texts make no more than 499.
   */
  readonly permutations?: number;
  /** Same seed, same numbers. Default 0. */
  readonly seed?: number;
  /** Samples in `texts`. Default 8. */
  readonly texts?: number;
  /**
   * Threads to work on. Default: one a core for a folder, where the work is worth it. A capture in memory is always
   * analysed in the calling thread.
   */
  readonly threads?: number;
  /** Aborting rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called as parts of the work end. */
  readonly onProgress?: (progress: ScanProgress) => void;
}

export type { ScanProgress as AnalyzeProgress } from "./scan/scan-capture.ts";

/** Each sums up more numbers than a permutation of labels. */
const MAX_FLIPS = 499;
/** Below this many rows times layers a thread costs more to start than it saves: a second's work or two. */
const WORTH_THREADS: Record<Cost, number> = { count: 2_000_000, test: 100_000, read: 100_000 };

const readOptions = optionsReader<AnalyzeOptions>("analyzeCapture", {
  measures: list(oneOf(allMeasures.map(({ name }) => name as MeasureName))),
  layers: list(whole(-0x7fffffff, 0x7fffffff)),
  labels: list(text),
  permutations: whole(1),
  seed: whole(0, 0xffffffff),
  texts: whole(0),
  threads: whole(1),
  signal: abortSignal,
  onProgress: callback,
});

/**
 * Find what there is to see in a capture: usage and balance per layer, what experts specialise in and prefer, which of
 * them serve the same tokens, how routing flows from layer to layer and changes along the text. The measures are those
 * of the registry; definitions and sources: docs/analysis.md.
 *
 * Each value is read once, for all measures. Of each layer a few thousand rows are in memory at a time, besides counts
 * per expert and some tens of bytes a row; a capture folder of any size is analysed on all cores.
 *
 * @throws RequestError `UNKNOWN_LAYER` for a layer whose chosen experts are not in the capture, `UNKNOWN_STREAM` when
 *   it has neither expert ids nor router logits, `INVALID_ARGUMENT` for an unknown label or option, or one out of range.
 * @example
 * import { openCapture } from "moescope";
 * import { analyzeCapture } from "moescope/analysis";
 * const { layers, specializedExperts } = await analyzeCapture(await openCapture("run1"));
 * console.log(layers[0]?.balance?.cv, specializedExperts[0]);
 */
export async function analyzeCapture<M extends MeasureName = MeasureName>(
  capture: Capture,
  options: AnalyzeOptions<M> = {},
): Promise<CaptureAnalysis<M>> {
  checkCapture("analyzeCapture", "capture", capture);
  const given = readOptions(options);
  const { permutations = DEFAULT_PERMUTATIONS, seed = 0, texts = 8 } = given;
  const settings = { permutations, flips: Math.min(permutations, MAX_FLIPS), seed, texts };
  const subject = given.labels ? withLabels(capture, given.labels) : capture;
  const { experts, topK } = capture.model.moe ?? { experts: 0, topK: 0 };
  const layers = capture.model.moe ? chooseLayers(subject, given.layers) : [];
  const measures = allMeasures.filter(({ name }) => given.measures?.includes(name as MeasureName) ?? true);
  const { signal, onProgress, threads = threadsFor(subject, layers, measures) } = given;
  const found = await scanCapture(subject, layers, measures, settings, { threads, signal, onProgress });
  const edits = editsInForce(subject);
  return {
    format: ANALYSIS_FORMAT,
    model: capture.model,
    engine: capture.engine,
    experts,
    topK,
    fairShare: experts === 0 ? 0 : topK / experts,
    ...(edits.length > 0 && { edits }),
    completeness: completenessOf(subject, layers),
    labels: labelSummaries(subject),
    settings: settings satisfies ScanSettings,
    layers: found.layers.map(({ layer, results }) => ({ layer, rows: subject.rows.length, ...results })),
    ...found.results,
    // The registry's types say which result stands under which name.
  } as unknown as CaptureAnalysis<M>;
}

function threadsFor({ rows }: Capture, layers: readonly number[], measures: readonly Measure[]): number {
  const worth = smallest(withSources(measures).map(({ cost }) => WORTH_THREADS[cost]));
  return rows.length * layers.length < worth ? 1 : availableParallelism();
}

function withLabels(capture: Capture, labels: readonly string[]): Capture {
  const having = new Set(capture.samples.map(({ label }) => label));
  for (const label of labels)
    if (!having.has(label)) {
      const known = [...having].filter((name) => name !== null);
      throw new RequestError(
        "INVALID_ARGUMENT",
        `no sample has the label "${label}"; ` +
          (known.length > 0 ? `the labels are ${known.join(", ")}` : "this capture has no labels"),
      );
    }
  return capture.only(
    capture.samples.flatMap(({ label }, i) => (label !== null && labels.includes(label) ? [i] : [])),
  );
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
