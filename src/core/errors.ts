/**
 * Every error a user can meet. Each is a {@link MoescopeError} with a `code` to branch on, a message that says
 * what was wrong, where, and what to do, and `retryable`: whether the same call may succeed later.
 */

export type ErrorCode =
  | "MODEL_NOT_FOUND"
  | "MODEL_INVALID"
  | "MODEL_UNSUPPORTED"
  | "MODEL_DOWNLOAD_FAILED"
  | "ENGINE_UNAVAILABLE"
  | "ENGINE_INCOMPATIBLE"
  | "ENGINE_FAILED"
  | "ENGINE_CRASHED"
  | "ENGINE_CLOSED"
  | "ENGINE_BUSY"
  | "CONTEXT_OVERFLOW"
  | "OUT_OF_MEMORY"
  | "UNKNOWN_STREAM"
  | "UNKNOWN_LAYER"
  | "INVALID_ARGUMENT"
  | "CAPTURE_TOO_LARGE"
  | "CAPTURE_INVALID"
  | "CAPTURE_EXISTS"
  | "CAPTURE_IN_USE"
  | "STORAGE_FAILED";

export class MoescopeError extends Error {
  readonly code: ErrorCode;
  /** Whether the same call may succeed later without a change (a full disk that was cleared, a crashed worker). */
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions & { retryable?: boolean }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    this.retryable = options?.retryable ?? false;
  }
}

/** The model reference does not lead to a model that can be run. */
export class ModelError extends MoescopeError {
  declare readonly code: "MODEL_NOT_FOUND" | "MODEL_INVALID" | "MODEL_UNSUPPORTED" | "MODEL_DOWNLOAD_FAILED";
}

/** The engine cannot be found, does not fit, failed, is gone, or is held by a run that cannot go on. */
export class EngineError extends MoescopeError {
  declare readonly code:
    | "ENGINE_UNAVAILABLE"
    | "ENGINE_INCOMPATIBLE"
    | "ENGINE_FAILED"
    | "ENGINE_CRASHED"
    | "ENGINE_CLOSED"
    | "ENGINE_BUSY"
    | "OUT_OF_MEMORY";
}

/** What was asked for is not possible: an unknown stream or layer, a prompt beyond the context, more than there is room for. */
export class RequestError extends MoescopeError {
  declare readonly code:
    | "CONTEXT_OVERFLOW"
    | "UNKNOWN_STREAM"
    | "UNKNOWN_LAYER"
    | "INVALID_ARGUMENT"
    | "CAPTURE_TOO_LARGE";
}

/** A capture folder cannot be read or written. */
export class CaptureError extends MoescopeError {
  declare readonly code: "CAPTURE_INVALID" | "CAPTURE_EXISTS" | "CAPTURE_IN_USE" | "STORAGE_FAILED";
}
