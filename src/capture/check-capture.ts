import { argument, thing } from "../core/options.ts";
import type { Capture } from "./capture.ts";

const captureField = thing<Capture>(
  "a capture (of openCapture or llm.capture)",
  (value) => "rows" in value && "streams" in value && typeof (value as Capture).stream === "function",
);

/**
 * The argument, if it is a capture: a path or a promise given instead would fail far from where it was given.
 *
 * @param call that it was given to, and under which name.
 * @throws RequestError `INVALID_ARGUMENT`.
 */
export const checkCapture = (call: string, name: string, value: unknown): Capture =>
  argument(call, name, value, captureField);
