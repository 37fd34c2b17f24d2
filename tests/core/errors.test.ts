import { expect, test } from "vitest";
import {
  CaptureError,
  EngineError,
  errorOf,
  ModelError,
  MoescopeError,
  RequestError,
} from "../../src/core/errors.ts";
import { fromWire, toWire } from "../../src/core/wire-error.ts";

test("a code goes with its class: the compiler sees to it", () => {
  // @ts-expect-error a folder's code
  new ModelError("CAPTURE_EXISTS", "");
  // @ts-expect-error a request's code
  new EngineError("INVALID_ARGUMENT", "");
  // @ts-expect-error no code at all
  new RequestError("NONSENSE", "");
  // @ts-expect-error every error is of one of the classes
  expect(() => new MoescopeError("ENGINE_FAILED", "")).not.toThrow();
  expect(new CaptureError("STORAGE_FAILED", "full", { retryable: true })).toMatchObject({
    name: "CaptureError",
    code: "STORAGE_FAILED",
    retryable: true,
  });
});

const ERRORS = [
  new ModelError("MODEL_DOWNLOAD_FAILED", "no network", { retryable: true }),
  new EngineError("ENGINE_CRASHED", "gone", { retryable: true }),
  new EngineError("OUT_OF_MEMORY", "too large"),
  new RequestError("CONTEXT_OVERFLOW", "too long"),
  new CaptureError("CAPTURE_IN_USE", "locked", { retryable: true }),
];

test.each(ERRORS)("$code comes over as it was", (error) => {
  const over = fromWire(structuredClone(toWire(error)));
  expect(over).toBeInstanceOf(error.constructor);
  expect(over).toBeInstanceOf(MoescopeError);
  const { name, code, message, retryable } = error;
  expect(over).toMatchObject({ name, code, message, retryable });
  expect((over.cause as Error).stack).toBe(error.stack);
});

test("what is no error of ours comes over with its name, and a code that is none makes none", () => {
  expect(fromWire(structuredClone(toWire(new TypeError("x is undefined"))))).toMatchObject({
    name: "TypeError",
    message: "x is undefined",
  });
  expect(fromWire(toWire("text")).message).toBe("text");
  expect(errorOf("NONSENSE", "")).toBeNull();
  expect(errorOf("toString", "")).toBeNull();
});
