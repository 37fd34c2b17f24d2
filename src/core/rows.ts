import type { StreamName } from "./streams.ts";
import type { TensorDataTypes, TensorType } from "./tensor.ts";

/** Values of {@link RowLabels.phase}. */
export const PHASES = ["prompt", "generated"] as const;
/**
 * Whether a token belongs to the `prompt` or was `generated`.
 *
 * @useDeclaredType
 */
export type Phase = (typeof PHASES)[number];

/** One entry per row, columns side by side. */
export interface RowLabels {
  /** Index of the sample (request) the row belongs to. */
  readonly sample: Int32Array;
  /** 0-based position in the sample: prompt, then what was generated. */
  readonly position: Int32Array;
  /** The token that went in at that position. */
  readonly tokenId: Int32Array;
  /** 0: of the prompt, 1: generated. */
  readonly phase: Uint8Array;
}

/**
 * The rows of one engine step: what flows from an engine into a sink. Every stream holds, per layer, a dense
 * `[rows, width]` array in the order of the labels; the width is `data.length / rows`. Where a row has several axes,
 * the run's header tells their sizes.
 */
export interface RowBatch extends RowLabels {
  readonly rows: number;
  readonly streams: ReadonlyMap<StreamName, ReadonlyMap<number, TensorDataTypes[TensorType]>>;
}
