import type { Capture } from "../../capture/capture.ts";
import { PHASES } from "../../core/rows.ts";

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

/** How many samples and rows of a capture have a label; `null`: those without one. */
export interface LabelSummary {
  readonly label: string | null;
  readonly samples: number;
  readonly rows: number;
}

/**
 * What a capture holds of its run, and what it lacks.
 *
 * @param layers those that are analysed.
 */
export function completenessOf(capture: Capture, layers: readonly number[]): Completeness {
  const { rows, samples, model } = capture;
  const generatedRows = rows.phase.reduce((n, phase) => n + (phase === PHASES[1] ? 1 : 0), 0);
  const withRows = new Set(rows.sample);
  const promptTokens = [...withRows].reduce((sum, sample) => sum + samples[sample]!.promptTokens, 0);
  const promptRows = rows.length - generatedRows;
  return {
    complete: capture.complete,
    rows: rows.length,
    promptRows,
    generatedRows,
    samples: samples.length,
    samplesWithRows: withRows.size,
    promptTokensWithoutRow: Math.max(0, promptTokens - promptRows),
    missing: capture.missing.map(({ sample, from, to, why }) => ({ sample, from, to, why })),
    streams: capture.streams.map((name) => ({ name, layers: [...capture.stream(name).keys()] })),
    layersWithoutRows: (model.moe?.layers ?? []).filter((layer) => !layers.includes(layer)),
  };
}

/** Samples and rows of each label; see `CaptureAnalysis.labels`. */
export function labelSummaries(capture: Capture): LabelSummary[] {
  const rowsOf = new Map<number, number>();
  for (const sample of capture.rows.sample) rowsOf.set(sample, (rowsOf.get(sample) ?? 0) + 1);
  const labels = new Map<string | null, { samples: number; rows: number }>();
  for (const [sample, rows] of rowsOf) {
    const { label } = capture.samples[sample]!;
    const of = labels.get(label) ?? { samples: 0, rows: 0 };
    labels.set(label, { samples: of.samples + 1, rows: of.rows + rows });
  }
  return [...labels].map(([label, of]) => ({ label, ...of }));
}
