import type { Llama, NativeBatch } from "../native/bindings.ts";
import type { Pointer } from "../native/pointers.ts";

/** Runs a step; 0 is success. */
export type ComputeStep = (context: Pointer, batch: NativeBatch) => number;

/** What has an encoder (T5) runs that: its decoder would need what the encoder gave. */
export const computeStepOf = (llama: Llama, model: Pointer): ComputeStep =>
  llama.hasEncoder(model) ? llama.encode : llama.decode;
