import type { CaptureOrigin } from "../../capture/source.ts";
import type { ErrorCode } from "../../core/errors.ts";
import type { ModelInfo } from "../../core/model-info.ts";
import type { SampleInfo } from "../../core/sink.ts";
import type { ScanSettings } from "../measures/measure.ts";
import type { RowColumns } from "../rows/row-columns.ts";
import type { ScanTask } from "./schedule.ts";

/** What a worker starts with. Columns, what was prepared and the order of the rows lie in shared memory. */
export interface WorkerStart {
  readonly origin: CaptureOrigin;
  readonly model: ModelInfo;
  readonly samples: readonly SampleInfo[];
  readonly settings: ScanSettings;
  readonly columns: RowColumns;
  /** Texts of the tokens that occur. */
  readonly tokens: ReadonlyMap<number, string>;
  /** Names of the measures. */
  readonly measures: readonly string[];
  /** By tally of these measures, in order. */
  readonly ahead: readonly unknown[];
}

/** A task for a worker; it answers each in turn. */
export interface ToWorker {
  readonly task: ScanTask;
}

export type FromWorker = { readonly result: unknown } | { readonly error: WireError };

/** An error on its way between threads, where its class would be lost. */
export interface WireError {
  /** `null` for what is no error of moescope's. */
  readonly code: ErrorCode | null;
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
}
