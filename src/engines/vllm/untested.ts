import type { ReadyMessage } from "./protocol.ts";

/** Says so, once for each engine, when moescope was not tried with this vLLM. Its structure was checked all the same. */
export function warnIfUntested({ vllm, tested, newestTested }: ReadyMessage): void {
  if (tested) return;
  process.emitWarning(
    `vLLM ${vllm} was not tried with this moescope (the newest that was is ${newestTested}). ` +
      "Everything it builds on is there, and each model is checked when it is loaded; compare a capture with another engine before you rely on it",
    { type: "MoescopeWarning", code: "UNTESTED_VLLM" },
  );
}
