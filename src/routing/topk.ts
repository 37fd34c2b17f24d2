import type { Tensor, TensorDataTypes, TensorType } from "../capture/tensor.ts";
import { RequestError } from "../errors.ts";

/** The k greatest values of each row and where they were. */
export interface TopK<T extends TensorType> {
  /** `[..., k]`, descending. */
  readonly values: Tensor<T>;
  /** `[..., k]`, 0-based places in the last axis. */
  readonly indices: Tensor<"int32">;
}

/**
 * The k greatest values over the last axis, descending: what `torch.topk(tensor, k, dim=-1)` gives.
 *
 * Equal values come in the order of their index (torch leaves that open; `torch.sort(stable=True)` agrees). NaN
 * counts as the greatest, as in torch.
 *
 * @throws RequestError `INVALID_ARGUMENT` unless k is a whole number from 1 to the size of the last axis.
 * @example
 * const { values, indices } = topk(softmax(logits), 2); // the two likeliest experts of each row
 */
export function topk<T extends TensorType>(input: Tensor<T>, k: number): TopK<T> {
  const width = input.dims.at(-1) ?? 1;
  checkK(k, width);
  const rows = input.data.length / width;
  const dims = [...input.dims.slice(0, -1), k];
  const indices = new Int32Array(rows * k);
  const values = new (input.data.constructor as new (length: number) => TensorDataTypes[T])(rows * k);
  for (let row = 0; row < rows; row++) {
    topkRow(input.data, row * width, (row + 1) * width, k, indices, row * k);
    for (let i = row * k; i < (row + 1) * k; i++) values[i] = input.data[row * width + indices[i]!]!;
  }
  return {
    values: { type: input.type, dims, data: values },
    indices: { type: "int32", dims, data: indices },
  };
}

/** @throws RequestError `INVALID_ARGUMENT` unless k is a whole number from 1 to `width`. */
export function checkK(k: number, width: number): void {
  if (!(Number.isInteger(k) && k >= 1 && k <= width))
    throw new RequestError("INVALID_ARGUMENT", `k must be a whole number from 1 to ${width}, got ${k}`);
}

/** The values held by {@link topkRow}, best first; it is used again for every row and grows to the greatest k. */
let held = new Float64Array(16);

/**
 * Write the places (from 0 at `from`) of the k greatest of `values[from, to)` to `out[at, at + k)`, best first.
 *
 * Insertion into the k held so far: for the few experts a router picks this beats sorting the row.
 */
export function topkRow(
  values: ArrayLike<number>,
  from: number,
  to: number,
  k: number,
  out: Int32Array | Uint16Array,
  at: number,
): void {
  if (held.length < k) held = new Float64Array(k);
  const best = held;
  for (let i = 0; i < k; i++) insert(values[from + i]!, i, i, best, out, at);
  let least = best[k - 1]!;
  for (let i = from + k; i < to; i++) {
    const value = values[i]!;
    // Most end here.
    if (value <= least || !above(value, least)) continue;
    insert(value, k - 1, i - from, best, out, at);
    least = best[k - 1]!;
  }
}

/** Put a value at or above place `from`, and move those below it down; the one at `from` goes. */
function insert(
  value: number,
  from: number,
  id: number,
  best: Float64Array,
  out: Int32Array | Uint16Array,
  at: number,
): void {
  let place = from;
  for (; place > 0 && above(value, best[place - 1]!); place--) {
    best[place] = best[place - 1]!;
    out[at + place] = out[at + place - 1]!;
  }
  best[place] = value;
  out[at + place] = id;
}

/** Strictly greater, with NaN above every number. */
const above = (a: number, b: number) => a > b || (Number.isNaN(a) && !Number.isNaN(b));
