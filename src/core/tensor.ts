import { RequestError } from "./errors.ts";

/** The element types moescope produces, with the array that holds each. */
export interface TensorDataTypes {
  float32: Float32Array;
  uint16: Uint16Array;
  int32: Int32Array;
}

/** The same as values. */
export const TENSOR_ARRAYS = { float32: Float32Array, uint16: Uint16Array, int32: Int32Array } as const;

/** The element types of a {@link Tensor}: names of onnxruntime-common. */
export type TensorType = keyof TensorDataTypes;

/**
 * A dense, row-major tensor on the CPU. The three fields are those of onnxruntime-common's `Tensor`, so it passes
 * into transformers.js (`new Tensor(t.type, t.data, t.dims)`) and back.
 */
export interface Tensor<T extends TensorType = TensorType> {
  readonly type: T;
  /** Sizes, slowest axis first: `[rows, experts]`. */
  readonly dims: readonly number[];
  readonly data: TensorDataTypes[T];
}

/**
 * Wrap `data` without a copy.
 *
 * @param dims whole numbers from 0, slowest axis first; their product is `data.length`.
 * @throws RequestError `INVALID_ARGUMENT` for other dims.
 * @example
 * import { tensor, topk } from "moescope";
 * const logits = tensor("float32", [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6));
 * const { indices } = topk(logits, 1); // [2, 1]: 2, 2
 */
export function tensor<T extends TensorType>(
  type: T,
  dims: readonly number[],
  data: TensorDataTypes[T],
): Tensor<T> {
  const bad = dims.find((size) => !(Number.isSafeInteger(size) && size >= 0));
  if (bad !== undefined) throw invalid(`dims must be whole numbers from 0, got [${dims}]`);
  const size = dims.reduce((product, n) => product * n, 1);
  if (size !== data.length) throw invalid(`dims [${dims}] hold ${size} elements, the data ${data.length}`);
  return { type, dims, data };
}

/**
 * Rows `[from, to)` of a tensor, sharing its memory.
 *
 * @throws RequestError `INVALID_ARGUMENT` for rows that it does not have.
 */
export function sliceRows<T extends TensorType>(t: Tensor<T>, from: number, to: number): Tensor<T> {
  assertRows(from, to, t.dims[0]!, "the tensor");
  const width = t.dims.slice(1).reduce((product, n) => product * n, 1);
  const data = t.data.subarray(from * width, to * width) as TensorDataTypes[T];
  return { type: t.type, dims: [to - from, ...t.dims.slice(1)], data };
}

/**
 * Check a window of rows: beyond its end lie the rows of something else, or none.
 *
 * @param rows how many there are.
 * @param of what they are of, for the message.
 * @throws RequestError `INVALID_ARGUMENT`.
 */
export function assertRows(from: number, to: number, rows: number, of: string): void {
  if (Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from <= to && to <= rows) return;
  throw invalid(
    `there are no rows [${from}, ${to}) of ${of}: it has ${rows}; from and to are whole numbers with ` +
      `0 <= from <= to <= ${rows}`,
  );
}

const invalid = (message: string) => new RequestError("INVALID_ARGUMENT", message);
