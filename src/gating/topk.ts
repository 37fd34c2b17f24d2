import { RequestError } from "../core/errors.ts";
import type { Tensor, TensorDataTypes, TensorType } from "../core/tensor.ts";

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
 * import { softmax, topk } from "moescope";
 * const { values, indices } = topk(softmax(capture.routerLogits.get(5)!), 2); // the two likeliest experts of each row
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

/** Places that {@link likelyPlaces} found; grows to the widest row. */
let likely = new Int32Array(256);

/** Rows at least this wide, and this many times as wide as k, are worth a look at their spread first. */
const WIDE = 64;
const WIDE_PER_K = 4;

/**
 * Write the places (from 0 at `from`) of the k greatest of `values[from, to)` to `out[at, at + k)`, best first.
 *
 * Insertion into the k held so far: for the few experts a router picks this beats sorting the row. Of a wide row only
 * the values that stand out are inserted, when there are k of them.
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
  const width = to - from;
  const count = width >= Math.max(WIDE, WIDE_PER_K * k) ? likelyPlaces(values, from, to, k) : 0;
  if (count >= k) rankLikely(values, from, count, k, out, at);
  else rankAll(values, from, to, k, out, at);
}

function rankAll(
  values: ArrayLike<number>,
  from: number,
  to: number,
  k: number,
  out: Int32Array | Uint16Array,
  at: number,
): void {
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

/** The same of the first `count` places in `likely`, none of which holds NaN. */
function rankLikely(
  values: ArrayLike<number>,
  from: number,
  count: number,
  k: number,
  out: Int32Array | Uint16Array,
  at: number,
): void {
  const best = held;
  const places = likely;
  for (let i = 0; i < count; i++) {
    const value = values[from + places[i]!]!;
    let rank = i;
    if (i >= k) {
      if (value <= best[k - 1]!) continue;
      rank = k - 1;
    }
    for (; rank > 0 && value > best[rank - 1]!; rank--) {
      best[rank] = best[rank - 1]!;
      out[at + rank] = out[at + rank - 1]!;
    }
    best[rank] = value;
    out[at + rank] = places[i]!;
  }
}

/**
 * Collect in `likely` the places of the values far enough above the row's mean that some k + 3 sqrt(k) of a normal
 * distribution would be: a pass without the unpredictable branches of insertion, which cost most.
 *
 * If they are k or more, the k greatest are among them. They are fewer in rows of another shape, and none where the
 * row holds NaN or an infinity.
 *
 * @returns how many.
 */
function likelyPlaces(values: ArrayLike<number>, from: number, to: number, k: number): number {
  const width = to - from;
  if (likely.length < width) likely = new Int32Array(width);
  const places = likely;
  let sum = 0;
  let squares = 0;
  // Two sums each: an addition has to wait for the one before it.
  let otherSum = 0;
  let otherSquares = 0;
  for (let i = from; i < to; i += 2) {
    const value = values[i]!;
    const other = i + 1 < to ? values[i + 1]! : 0;
    sum += value;
    squares += value * value;
    otherSum += other;
    otherSquares += other * other;
  }
  const mean = (sum + otherSum) / width;
  const deviation = Math.sqrt((squares + otherSquares) / width - mean * mean);
  const least = mean + deviation * normalQuantile((k + 3 * Math.sqrt(k)) / width);
  let count = 0;
  for (let i = 0; i < width; i++) if (values[from + i]! > least) places[count++] = i;
  return count;
}

/**
 * How many standard deviations above the mean the greatest `share` (at most 1/2) of a normal distribution begins;
 * error below 3e-3. Source: Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 26.2.22.
 */
function normalQuantile(share: number): number {
  const t = Math.sqrt(-2 * Math.log(share));
  return t - (2.30753 + 0.27061 * t) / (1 + 0.99229 * t + 0.04481 * t * t);
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
