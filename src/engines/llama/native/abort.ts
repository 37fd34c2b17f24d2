/**
 * Stops a running `llama_decode` from any thread without calling into JavaScript: llama.cpp polls its abort callback
 * between the nodes of a graph, and that callback is ggml's own `ggml_is_empty`, looking at a `ggml_tensor` in shared
 * memory. A tensor with a dimension of 0 is empty, and the computation ends. While a model loads, `ggml_is_scalar` looks
 * at the same tensor and ends the load. Layout: see `bindings.ts`.
 */

/** Size of `struct ggml_tensor` and offset of its `ne[4]`. */
const TENSOR_BYTES = 336;
const NE_OFFSET = 16;

/** A flag that is not raised. */
export function makeAbort(): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(TENSOR_BYTES);
  raiseAbort(buffer, false);
  return buffer;
}

/** Raise (or lower) the flag in `buffer`. */
export function raiseAbort(buffer: SharedArrayBuffer, raised = true): void {
  const ne = new BigInt64Array(buffer, NE_OFFSET, 4);
  for (let i = 0; i < 4; i++) Atomics.store(ne, i, raised ? 0n : 1n);
}
