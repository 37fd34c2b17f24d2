import type { Tensor } from "../core/tensor.ts";

/**
 * Softmax over the last axis, in the shape of the input: what `torch.softmax(tensor, dim=-1)` gives.
 *
 * Numerically stable (the row's maximum is subtracted first) and summed in double precision. As in torch, a row that
 * holds NaN or +Infinity, or nothing but -Infinity, comes out as NaN.
 *
 * @example
 * import { softmax } from "moescope";
 * const probabilities = softmax(capture.routerLogits.get(5)!); // [rows, experts], each row sums to 1
 */
export function softmax(logits: Tensor<"float32">): Tensor<"float32"> {
  const width = logits.dims.at(-1) ?? 1;
  const data = new Float32Array(logits.data.length);
  for (let at = 0; at < data.length; at += width) softmaxRow(logits.data, at, at + width, data);
  return { type: "float32", dims: logits.dims, data };
}

/** Softmax of `logits[from, to)` into the same place of `out`; the two may be one array. */
export function softmaxRow(logits: Float32Array, from: number, to: number, out: Float32Array): void {
  let max = -Infinity;
  for (let i = from; i < to; i++) if (logits[i]! > max) max = logits[i]!;
  let sum = 0;
  for (let i = from; i < to; i++) sum += Math.exp(logits[i]! - max);
  for (let i = from; i < to; i++) out[i] = Math.exp(logits[i]! - max) / sum;
}
