import type { Reduction } from "../core/plan.ts";
import type { Finished } from "../core/request.ts";
import type { RowLabels } from "../core/rows.ts";
import type { RunHeader } from "../core/sink.ts";
import type { StreamName } from "../core/streams.ts";
import type { TensorDataTypes, TensorType } from "../core/tensor.ts";

/**
 * Where a capture's values are: in memory or in a folder. Rows are ordered by sample, then position, whatever the
 * order they were computed in.
 */
export interface CaptureSource {
  readonly header: Omit<RunHeader, "tokenText" | "streams">;
  readonly labels: RowLabels;
  readonly finished: readonly Finished[];
  readonly complete: boolean;
  readonly missing: readonly MissingRows[];
  /** See `Capture.dropped`. */
  readonly dropped: number;
  readonly reduce: Reduction;
  /** Where another thread can open the same rows; `null` for what lies in this one's memory. */
  readonly origin: CaptureOrigin | null;
  readonly streams: readonly { readonly name: StreamName; readonly layers: readonly number[] }[];
  readonly tokenText: (tokenId: number) => string;
  /** The prompt's tokens, or `null` where they are not known. */
  promptTokens(sample: number): Int32Array | null;
  /** Rows `[from, to)` of one layer, row-major; without a copy where that is possible. */
  read(stream: StreamName, layer: number, from: number, to: number): TensorDataTypes[TensorType];
  /** Sizes of the axes behind `rows` in a layer, e.g. the number of experts. */
  dims(stream: StreamName, layer: number): readonly number[];
}

/** A capture folder, and the samples of it that were selected; `null`: all. Plain data: it crosses threads. */
export interface CaptureOrigin {
  readonly folder: string;
  readonly samples: readonly number[] | null;
  /** What reads the folder's values without opening it again; only whoever made it looks inside. */
  readonly values: object;
  /** The rows of {@link samples} among the folder's, in order; `null`: all. */
  readonly spans: readonly RowSpan[] | null;
}

/** Rows `[from, to)`. */
export interface RowSpan {
  readonly from: number;
  readonly to: number;
}

/** Rows that a run did not bring to its end: positions `[from, to)` of a sample; `to` is `null` where it is not known. */
export interface MissingRows {
  readonly sample: number;
  readonly from: number;
  readonly to: number | null;
  readonly why: string;
}
