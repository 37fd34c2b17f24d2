import { availableParallelism } from "node:os";
import type { Capture } from "../capture/capture.ts";
import { RequestError } from "../errors.ts";
import { type AnalysisTask, analysisTasks, type TaskResult } from "./analysis-tasks.ts";
import type { CaptureAnalysis } from "./capture-analysis.ts";
import { checkPermutations } from "./compare/usage-shift.ts";
import { standOutExperts, withQValues } from "./measures/group-usage.ts";
import { labelledSamples } from "./measures/tallies/sample-counts.ts";
import { textStrips } from "./measures/texts.ts";
import { completenessOf, labelSummaries } from "./rows/completeness.ts";
import { routedLayers } from "./scan/chosen.ts";
import { runHere, runOnThreads } from "./scan/threads.ts";

export interface AnalyzeOptions {
  /** 0-based layers; negative ones count from the last. Default: all whose chosen experts are known. */
  readonly layers?: readonly number[];
  /** Only samples with one of these labels. Default: all samples. */
  readonly labels?: readonly string[];
  /**
   * Random permutations of labels. Default 4999: p-values down to 0.0002. Tests within texts make no more than 999.
   */
  readonly permutations?: number;
  /** Same seed, same numbers. Default 0. */
  readonly seed?: number;
  /** Samples in {@link CaptureAnalysis.texts}. Default 8. */
  readonly texts?: number;
  /**
   * Threads to work on. Default: one a core for a folder, where the work is worth it. A capture in memory is always
   * analysed in the calling thread.
   */
  readonly threads?: number;
  /** Aborting rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called as parts of the work end. */
  readonly onProgress?: (progress: AnalyzeProgress) => void;
}

export interface AnalyzeProgress {
  /** Parts that are done, of so many; about one per layer takes long. */
  readonly done: number;
  readonly total: number;
}

/** Each counts some thousand rows again, where a permutation of labels counts samples. */
const MAX_ROTATIONS = 999;
/** Below this many rows times layers a thread costs more to start than it saves; a second's work or two. */
const WORTH_THREADS = 100_000;

/**
 * Find everything there is to see in a capture: usage and balance per layer, what experts specialise in and like, which
 * of them work together, how routing flows from layer to layer and changes along the text. Definitions and sources:
 * docs/analysis.md.
 *
 * Of each layer a few thousand rows are in memory at a time, besides counts per expert; a capture folder of any size
 * is analysed on all cores.
 *
 * @throws RequestError `UNKNOWN_LAYER` for a layer whose chosen experts are not in the capture, `UNKNOWN_STREAM` when
 *   it has neither expert ids nor router logits, `INVALID_ARGUMENT` for an unknown label or an option out of range.
 * @example
 * const { layers, standOuts } = await analyzeCapture(await openCapture("run1"));
 * console.log(layers[0]?.balance?.cv, standOuts[0]);
 */
export async function analyzeCapture(
  capture: Capture,
  {
    layers,
    labels,
    permutations = 4999,
    seed = 0,
    texts = 8,
    threads,
    signal,
    onProgress,
  }: AnalyzeOptions = {},
): Promise<CaptureAnalysis> {
  checkPermutations(permutations);
  checkThreads(threads);
  const subject = labels ? withLabels(capture, labels) : capture;
  const { experts, topK } = capture.model.moe ?? { experts: 0, topK: 0 };
  const fairShare = experts === 0 ? 0 : topK / experts;
  const analysed = capture.model.moe ? chooseLayers(subject, layers) : [];
  const settings = { permutations, rotations: Math.min(permutations, MAX_ROTATIONS), seed };
  const tasks = analysisTasks(analysed, experts);
  const results = await run(subject, tasks, threads ?? threadsFor(subject, analysed.length));
  const found = <K extends TaskResult["kind"]>(kind: K) =>
    results.flatMap((result) =>
      result.kind === kind ? [result.found as Extract<TaskResult, { kind: K }>["found"]] : [],
    );
  const done = withQValues(found("layer"), labelledSamples(subject).labels);
  return {
    format: "moescope.analysis/1",
    model: capture.model,
    engine: capture.engine,
    experts,
    topK,
    fairShare,
    completeness: completenessOf(subject, analysed),
    labels: labelSummaries(subject),
    layers: done,
    standOuts: standOutExperts(done, fairShare),
    flows: found("flow"),
    paths: found("paths"),
    texts: analysed.length === 0 ? [] : textStrips(subject, analysed, texts),
    settings,
  };

  function run(of: Capture, all: readonly AnalysisTask[], workers: number): Promise<TaskResult[]> {
    const onDone = (count: number) => onProgress?.({ done: count, total: all.length });
    onDone(0);
    const options = { signal, onDone };
    return of.origin && workers > 1
      ? runOnThreads(of.origin, all, settings, workers, options)
      : runHere(of, all, settings, options);
  }
}

const threadsFor = ({ rows }: Capture, layers: number) =>
  rows.length * layers < WORTH_THREADS ? 1 : availableParallelism();

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

function checkThreads(threads: number | undefined): void {
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1))
    throw new RequestError("INVALID_ARGUMENT", `threads must be a whole number from 1, got ${threads}`);
}
