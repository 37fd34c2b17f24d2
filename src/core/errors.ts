/**
 * Every error a user can meet. Each is a {@link MoescopeError} with a `code` to branch on, a message that says
 * what was wrong, where, and what to do, and `retryable`: whether the same call may succeed later.
 */

/** The codes, by the class of the errors that have them. */
const CODES = {
  ModelError: ["MODEL_NOT_FOUND", "MODEL_INVALID", "MODEL_UNSUPPORTED", "MODEL_DOWNLOAD_FAILED"],
  EngineError: [
    "ENGINE_UNAVAILABLE",
    "ENGINE_INCOMPATIBLE",
    "ENGINE_FAILED",
    "ENGINE_CRASHED",
    "ENGINE_CLOSED",
    "ENGINE_BUSY",
    "OUT_OF_MEMORY",
  ],
  RequestError: [
    "CONTEXT_OVERFLOW",
    "UNKNOWN_STREAM",
    "UNKNOWN_LAYER",
    "INVALID_ARGUMENT",
    "CAPTURE_TOO_LARGE",
  ],
  CaptureError: ["CAPTURE_INVALID", "CAPTURE_EXISTS", "CAPTURE_IN_USE", "STORAGE_FAILED"],
} as const;

type Codes = typeof CODES;
type CodeOf<Class extends keyof Codes> = Codes[Class][number];

/**
 * What went wrong, to branch on; each belongs to one class of errors.
 *
 * @useDeclaredType
 */
export type ErrorCode = CodeOf<keyof Codes>;

/** What an error is made with, besides its code and message. */
export interface MoescopeErrorOptions {
  /** What led to it. */
  readonly cause?: unknown;
  /** Default `false`. */
  readonly retryable?: boolean;
}

/**
 * What all errors of this library have in common.
 *
 * @example
 * import { load, MoescopeError } from "moescope";
 * try {
 *   await load("model.gguf");
 * } catch (error) {
 *   if (error instanceof MoescopeError && error.code === "MODEL_NOT_FOUND") console.error(error.message);
 *   else throw error;
 * }
 */
export abstract class MoescopeError extends Error {
  readonly code: ErrorCode;
  /** Whether the same call may succeed later without a change (a full disk that was cleared, a crashed worker). */
  readonly retryable: boolean;

  protected constructor(
    code: ErrorCode,
    message: string,
    { retryable = false, ...rest }: MoescopeErrorOptions = {},
  ) {
    super(message, rest);
    this.name = new.target.name;
    this.code = code;
    this.retryable = retryable;
  }
}

/**
 * The model reference does not lead to a model that can be run.
 *
 * @example
 * import { load, ModelError } from "moescope";
 * const model = await load("model.gguf").catch((error: unknown) => {
 *   if (error instanceof ModelError && error.code === "MODEL_UNSUPPORTED") return null; // no rule for this architecture
 *   throw error;
 * });
 */
export class ModelError extends MoescopeError {
  declare readonly code: CodeOf<"ModelError">;
  // Not useless: it takes only the codes of its class.
  constructor(code: CodeOf<"ModelError">, message: string, options?: MoescopeErrorOptions) {
    super(code, message, options);
  }
}

/**
 * The engine cannot be found, does not fit, failed, is gone, or is held by a run that cannot go on.
 *
 * @example
 * import { EngineError, load } from "moescope";
 * const again = await llm.capture(prompts).catch(async (error: unknown) => {
 *   if (!(error instanceof EngineError && error.code === "ENGINE_CRASHED")) throw error;
 *   return (await load("model.gguf")).capture(prompts);
 * });
 */
export class EngineError extends MoescopeError {
  declare readonly code: CodeOf<"EngineError">;
  constructor(code: CodeOf<"EngineError">, message: string, options?: MoescopeErrorOptions) {
    super(code, message, options);
  }
}

/**
 * What was asked for is not possible: an unknown stream, layer or option, a prompt beyond the context, more than there
 * is room for.
 *
 * @example
 * import { RequestError } from "moescope";
 * for (const prompt of prompts)
 *   await llm.capture(prompt).catch((error: unknown) => {
 *     if (error instanceof RequestError && error.code === "CONTEXT_OVERFLOW") console.error("left out:", error.message);
 *     else throw error;
 *   });
 */
export class RequestError extends MoescopeError {
  declare readonly code: CodeOf<"RequestError">;
  constructor(code: CodeOf<"RequestError">, message: string, options?: MoescopeErrorOptions) {
    super(code, message, options);
  }
}

/**
 * A capture folder cannot be read or written.
 *
 * @example
 * import { CaptureError } from "moescope";
 * const stored = await llm.capture(prompts, { into: "run1" }).catch((error: unknown) => {
 *   if (error instanceof CaptureError && error.code === "CAPTURE_EXISTS") return llm.resume("run1");
 *   throw error;
 * });
 */
export class CaptureError extends MoescopeError {
  declare readonly code: CodeOf<"CaptureError">;
  constructor(code: CodeOf<"CaptureError">, message: string, options?: MoescopeErrorOptions) {
    super(code, message, options);
  }
}

const CLASSES: {
  readonly [Class in keyof Codes]: new (
    code: CodeOf<Class>,
    message: string,
    options?: MoescopeErrorOptions,
  ) => MoescopeError;
} = {
  ModelError,
  EngineError,
  RequestError,
  CaptureError,
};

/** The same error where it says first what it is about; any other is passed on. */
export function errorAbout(where: string | undefined, error: unknown): unknown {
  if (where === undefined || !(error instanceof MoescopeError)) return error;
  const { code, message, retryable } = error;
  return errorOf(code, `${where}: ${message}`, { cause: error, retryable });
}

/** The error of a code, or `null` where there is no such code. For what comes from another thread, process or machine. */
export function errorOf(code: string, message: string, options?: MoescopeErrorOptions): MoescopeError | null {
  const names = Object.keys(CODES) as (keyof Codes)[];
  const name = names.find((each) => (CODES[each] as readonly string[]).includes(code));
  return name ? new CLASSES[name](code as never, message, options) : null;
}
