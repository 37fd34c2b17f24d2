import { type ErrorCode, errorOf, MoescopeError } from "./errors.ts";

/** An error on its way between threads or processes, where its class would be lost. Plain data. */
export interface WireError {
  readonly name: string;
  /** `null` for what is no error of moescope's. */
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly retryable: boolean;
  readonly stack: string | undefined;
}

export function toWire(error: unknown): WireError {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  const { code, retryable } = error instanceof MoescopeError ? error : { code: null, retryable: false };
  return { name, code, message, retryable, stack };
}

/** The error as the class it was there; its `cause` tells where it was thrown. */
export function fromWire({ name, code, message, retryable, stack }: WireError): Error {
  const cause = Object.assign(new Error(message), { name, stack });
  return (code === null ? null : errorOf(code, message, { cause, retryable })) ?? cause;
}
