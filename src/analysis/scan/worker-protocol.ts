import type { CaptureOrigin } from "../../capture/capture.ts";
import type { ErrorCode } from "../../errors.ts";
import type { AnalysisTask, TaskResult } from "../analysis-tasks.ts";
import type { TestSettings } from "../analyze-layer.ts";

/** What a worker starts with. */
export interface WorkerStart {
  readonly origin: CaptureOrigin;
  readonly settings: TestSettings;
}

/** A task for a worker; it answers with the same index. */
export interface ToWorker {
  readonly index: number;
  readonly task: AnalysisTask;
}

export type FromWorker =
  | { readonly index: number; readonly result: TaskResult }
  | { readonly index: number; readonly error: WireError };

/** An error on its way between threads, where its class would be lost. */
export interface WireError {
  /** `null` for what is no error of moescope's. */
  readonly code: ErrorCode | null;
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
}
