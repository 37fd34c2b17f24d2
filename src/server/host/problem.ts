import { MoescopeError } from "../../core/errors.ts";
import { json } from "./respond.ts";
import type { Problem } from "./schemas.ts";
import { SERVER_ERRORS, ServerError } from "./server-error.ts";

/** An error as people and programs read it. */
export function failure(error: unknown): Response {
  const { code, message, retryable, status } = describe(error);
  const problem: Problem = { error: { code, message, retryable } };
  return withHeadersOf(error, json(problem, status));
}

/** What an error says in headers. */
export function withHeadersOf(error: unknown, response: Response): Response {
  if (error instanceof ServerError)
    for (const [name, value] of Object.entries(error.headers)) response.headers.set(name, value);
  return response;
}

/** Whether a job was cancelled: by its client, by somebody with `DELETE`, or as the server stops. */
export const isCancelled = (error: unknown): error is DOMException =>
  error instanceof DOMException && error.name === "AbortError";

/** What to say of an error, with its HTTP status. */
export function describe(error: unknown): Problem["error"] & { readonly status: number } {
  if (error instanceof ServerError) return error;
  if (error instanceof MoescopeError) {
    const { code, message, retryable } = error;
    return { code, message, retryable, status: STATUS[code] ?? 500 };
  }
  if (isCancelled(error))
    return { code: "CANCELLED", message: error.message, retryable: true, status: SERVER_ERRORS.CANCELLED };
  const { message } = error instanceof Error ? error : new Error(String(error));
  return { code: "FAILED", message: `unexpected error: ${message}`, retryable: false, status: 500 };
}

/** What the library refuses because of what was asked; everything else is a failure. */
const STATUS: Partial<Record<MoescopeError["code"], number>> = {
  INVALID_ARGUMENT: 400,
  UNKNOWN_STREAM: 400,
  UNKNOWN_LAYER: 400,
  CONTEXT_OVERFLOW: 400,
  CAPTURE_EXISTS: 409,
  CAPTURE_IN_USE: 409,
  CAPTURE_INVALID: 422,
  STORAGE_FAILED: 507,
  ENGINE_CLOSED: 503,
  ENGINE_BUSY: 503,
};
