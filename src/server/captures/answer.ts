import { ServerError } from "../host/server-error.ts";
import { byteRange } from "./byte-range.ts";

/** Element types of binary answers, little-endian, as numpy and JavaScript name them. */
type Dtype = "float32" | "uint16" | "int32" | "uint8";
type TypedArray = Float32Array | Uint16Array | Int32Array | Uint8Array;

/** Bytes of values in one answer. Larger ones are asked for in parts: by rows or by `Range`. */
const MAX_VALUES = 64 << 20;

/** What a worker sends back: bytes that go to the client as they are. */
export interface Answer {
  readonly type: "application/json" | "application/octet-stream";
  readonly body: Uint8Array<ArrayBuffer>;
  /** Of an array: its element type and its sizes, slowest axis first. */
  readonly array: { readonly dtype: Dtype; readonly shape: readonly number[] } | null;
  /** Where the body lies in the array, in bytes, if it is not all of it. */
  readonly part: { readonly from: number; readonly to: number; readonly total: number } | null;
}

/** An array that a question is answered with. */
export interface Values {
  readonly dtype: Dtype;
  /** Slowest axis first. */
  readonly shape: readonly number[];
  /** The values of `[from, to)` of the slowest axis. */
  read(from: number, to: number): TypedArray;
}

/** Values that are all there already. */
export function valuesOf(data: TypedArray, shape: readonly number[]): Values {
  const width = widthOf(shape);
  return { dtype: dtypeOf(data), shape, read: (from, to) => data.subarray(from * width, to * width) };
}

/** An object as JSON; NaN and infinities become `null`, typed arrays arrays. */
export function jsonAnswer(value: unknown): Answer {
  const text = JSON.stringify(value, (_, item) =>
    ArrayBuffer.isView(item) ? Array.from(item as never) : item,
  );
  return { type: "application/json", body: new TextEncoder().encode(text), array: null, part: null };
}

/**
 * Values as little-endian bytes: what every machine that runs Node.js has in memory.
 *
 * @param range a `Range` header: only the rows that hold it are read.
 * @throws ServerError `TOO_LARGE`, `RANGE_NOT_SATISFIABLE`.
 */
export function arrayAnswer(values: Values, range: string | null = null): Answer {
  const { dtype, shape } = values;
  const row = widthOf(shape) * BYTES[dtype];
  const total = shape[0]! * row;
  const part = range === null ? null : byteRange(range, total);
  const { from, to } = part ?? { from: 0, to: total };
  if (to - from > MAX_VALUES)
    throw new ServerError(
      "TOO_LARGE",
      `${to - from} bytes are asked for at once, the limit is ${MAX_VALUES}; ask for parts with from and to, or with Range`,
    );
  const first = row === 0 ? 0 : Math.floor(from / row);
  const data = values.read(first, row === 0 ? 0 : Math.ceil(to / row));
  // A copy of its own: the buffer leaves this thread.
  const body = new Uint8Array(to - from);
  body.set(new Uint8Array(data.buffer, data.byteOffset + from - first * row, to - from));
  return {
    type: "application/octet-stream",
    body,
    array: { dtype, shape },
    part: part && { from, to, total },
  };
}

const BYTES = { float32: 4, uint16: 2, int32: 4, uint8: 1 } as const;

const widthOf = (shape: readonly number[]) => shape.slice(1).reduce((product, size) => product * size, 1);

const dtypeOf = (data: TypedArray): Dtype =>
  data instanceof Float32Array
    ? "float32"
    : data instanceof Uint16Array
      ? "uint16"
      : data instanceof Int32Array
        ? "int32"
        : "uint8";
