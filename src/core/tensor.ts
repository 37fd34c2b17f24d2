/** The element types moescope produces, with the array that holds each. */
export interface TensorDataTypes {
  float32: Float32Array;
  uint16: Uint16Array;
  int32: Int32Array;
}

/** The same as values. */
export const TENSOR_ARRAYS = { float32: Float32Array, uint16: Uint16Array, int32: Int32Array } as const;

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
 * @throws RangeError when the product of `dims` is not `data.length`.
 */
export function tensor<T extends TensorType>(
  type: T,
  dims: readonly number[],
  data: TensorDataTypes[T],
): Tensor<T> {
  const size = dims.reduce((product, n) => product * n, 1);
  if (size !== data.length)
    throw new RangeError(`dims [${dims}] hold ${size} elements, the data ${data.length}`);
  return { type, dims, data };
}

/** Rows `[from, to)` of a tensor, sharing its memory. */
export function sliceRows<T extends TensorType>(t: Tensor<T>, from: number, to: number): Tensor<T> {
  const width = t.dims.slice(1).reduce((product, n) => product * n, 1);
  const data = t.data.subarray(from * width, to * width) as TensorDataTypes[T];
  return { type: t.type, dims: [to - from, ...t.dims.slice(1)], data };
}
