import type { ModelInfo } from "../engines/engine.ts";
import type { LayerAnalysis } from "./layer-analysis.ts";

/**
 * Everything that `analyzeCapture` finds, as the views need it: plain objects, arrays, strings and numbers that
 * `JSON.stringify` keeps as they are. What is not defined (the balance of no rows) or was not captured is `null`.
 * Formulas and sources: docs/analysis.md.
 */
export interface CaptureAnalysis {
  readonly format: "moescope.analysis/1";
  readonly model: ModelInfo;
  readonly engine: { readonly kind: string; readonly version: string };
  /** Routed experts per layer, experts per token, and topK / experts; all 0 for a dense model. */
  readonly experts: number;
  readonly topK: number;
  readonly fairShare: number;
  readonly completeness: Completeness;
  /** The samples' labels in order of first appearance; `null` stands for samples without one. */
  readonly labels: readonly LabelSummary[];
  /** In order of layer; only layers whose chosen experts are known. */
  readonly layers: readonly LayerAnalysis[];
  /** Experts that serve a label more than their fair share and more than chance explains; the farthest first. */
  readonly standOuts: readonly StandOutExpert[];
  /** From each analysed layer to the next analysed one. */
  readonly flows: readonly LayerFlow[];
  /** The most frequent sequences of best experts through neighbouring layers. */
  readonly paths: readonly RoutingPaths[];
  /** Some samples token by token: the first of each label, then others in order. */
  readonly texts: readonly TextStrip[];
  /** What the random parts were made with; the same settings give the same numbers. */
  readonly settings: { readonly permutations: number; readonly rotations: number; readonly seed: number };
}

/** What was analysed, and what of the run is not in the capture. */
export interface Completeness {
  /** Whether the run came to its end. */
  readonly complete: boolean;
  /** Rows (tokens) analysed. */
  readonly rows: number;
  readonly promptRows: number;
  readonly generatedRows: number;
  /** Samples of the run, and those of them that have rows here. */
  readonly samples: number;
  readonly samplesWithRows: number;
  /** Prompt tokens of those samples that have no row here (a selection, or an interrupted run). */
  readonly promptTokensWithoutRow: number;
  readonly missing: readonly {
    readonly sample: number;
    readonly from: number;
    readonly to: number | null;
    readonly why: string;
  }[];
  readonly streams: readonly { readonly name: string; readonly layers: readonly number[] }[];
  /** MoE layers of the model that were not captured or not asked for. */
  readonly layersWithoutRows: readonly number[];
}

export interface LabelSummary {
  readonly label: string | null;
  readonly samples: number;
  readonly rows: number;
}

/** How an expert follows from one in the layer before. */
export interface LayerFlow {
  readonly from: number;
  readonly to: number;
  readonly rows: number;
  /** Mutual information of the two layers' best experts, bits, less its bias by (experts - 1)^2 / (2 ln 2 rows). */
  readonly information: number;
  /** Entropy of the later layer's best expert, bits: the most that {@link information} can be. */
  readonly entropy: number;
  /** Pairs of experts that follow each other most beyond independence, the most telling first. */
  readonly edges: readonly FlowEdge[];
}

export interface FlowEdge {
  readonly a: number;
  readonly b: number;
  /** Rows that used expert a in the layer `from` and expert b in the layer `to`. */
  readonly count: number;
  /** P(b | a), over all chosen experts. */
  readonly probability: number;
  /** P(b | a) / P(b). */
  readonly lift: number;
}

/** Sequences of best experts through some neighbouring layers. */
export interface RoutingPaths {
  readonly layers: readonly number[];
  readonly rows: number;
  /** The most frequent, most first. */
  readonly top: readonly {
    readonly experts: readonly number[];
    readonly count: number;
    readonly share: number;
    /** {@link share} over the product of each expert's own share: how much more than independent layers give. */
    readonly lift: number;
    /** The tokens that took it most often. */
    readonly tokens: readonly { readonly text: string; readonly count: number }[];
  }[];
}

/** A sample token by token. */
export interface TextStrip {
  readonly sample: number;
  readonly label: string | null;
  /** Tokens of the sample that the capture has; the strip may hold only the first. */
  readonly rows: number;
  readonly tokens: readonly {
    readonly position: number;
    readonly text: string;
    readonly generated: boolean;
  }[];
  /** The layers of {@link entropy} and {@link best}. */
  readonly layers: readonly number[];
  /** `[layer][token]`, nats, 3 digits; `null` without router logits. */
  readonly entropy: readonly (readonly number[])[] | null;
  /** `[layer][token]`: the best expert. */
  readonly best: readonly (readonly number[])[];
}

/** An expert that serves a label beyond chance and beyond its fair share. */
export interface StandOutExpert {
  readonly layer: number;
  readonly expert: number;
  readonly label: string;
  readonly count: number;
  /** Part of the label's rows that used it. */
  readonly share: number;
  readonly timesFair: number;
  readonly pValue: number;
  readonly qValue: number;
}
