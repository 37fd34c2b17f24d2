import type { ModelInfo } from "../core/model-info.ts";
import type { ScanSettings } from "./measures/measure.ts";
import type { CaptureResults, LayerResults, MeasureName } from "./measures/registry.ts";
import type { Completeness, LabelSummary } from "./rows/completeness.ts";

export const ANALYSIS_FORMAT = "moescope.analysis/3";

/** What `analyzeCapture` says of the capture itself. */
export interface AnalysisHead {
  readonly format: typeof ANALYSIS_FORMAT;
  readonly model: ModelInfo;
  readonly engine: { readonly kind: string; readonly version: string };
  /** Routed experts per layer, experts per token, and topK / experts; all 0 for a dense model. */
  readonly experts: number;
  readonly topK: number;
  readonly fairShare: number;
  /** What was changed in the computation of the rows, in words; absent: nothing. */
  readonly edits?: readonly string[];
  readonly completeness: Completeness;
  /** The samples' labels in order of first appearance; `null` stands for samples without one. */
  readonly labels: readonly LabelSummary[];
  /** What the random parts were made with; the same settings give the same numbers. */
  readonly settings: ScanSettings;
}

/** One layer: its measures' results by name, `null` where it has not what the measure needs. */
export type LayerAnalysis<M extends MeasureName = MeasureName> = {
  /** 0-based, dense layers counted. */
  readonly layer: number;
  readonly rows: number;
} & Pick<LayerResults, M & keyof LayerResults>;

/**
 * Everything that `analyzeCapture` finds, as the views need it: plain objects, arrays, strings and numbers that
 * `JSON.stringify` keeps as they are. What is not defined (the balance of no rows) or was not captured is `null`.
 * The results stand under their measures' names, those for the capture as a whole beside the layers. Formulas and
 * sources: docs/analysis.md.
 *
 * @typeParam M the measures it has; default: all.
 */
export type CaptureAnalysis<M extends MeasureName = MeasureName> = AnalysisHead & {
  /** In order of layer; only layers whose chosen experts are known. */
  readonly layers: readonly LayerAnalysis<M>[];
} & Pick<CaptureResults, M & keyof CaptureResults>;
