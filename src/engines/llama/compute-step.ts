import type { Llama, NativeBatch, Pointer } from "./bindings.ts";

/** Run a step; 0 is success. What has an encoder (T5) runs that: its decoder would need what the encoder gave. */
export const computeStep = (llama: Llama, model: Pointer, context: Pointer, batch: NativeBatch): number =>
  llama.hasEncoder(model) ? llama.encode(context, batch) : llama.decode(context, batch);
