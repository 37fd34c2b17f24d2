import type { Dtype } from "./api/values.ts";

/** What a worker sends back: bytes that go to the client as they are. */
export interface Answer {
  readonly type: "application/json" | "application/octet-stream";
  readonly body: Uint8Array<ArrayBuffer>;
  /** Of an array: its element type and its sizes, slowest axis first. */
  readonly array: { readonly dtype: Dtype; readonly shape: readonly number[] } | null;
}

/** An object as JSON; NaN and infinities become `null`, typed arrays arrays. */
export function jsonAnswer(value: unknown): Answer {
  const text = JSON.stringify(value, (_, item) =>
    ArrayBuffer.isView(item) ? Array.from(item as never) : item,
  );
  return { type: "application/json", body: new TextEncoder().encode(text), array: null };
}

/** Values as little-endian bytes: what every machine that runs Node.js has in memory. */
export function arrayAnswer(
  data: Float32Array | Uint16Array | Int32Array | Uint8Array,
  shape: readonly number[],
): Answer {
  const dtype =
    data instanceof Float32Array
      ? "float32"
      : data instanceof Uint16Array
        ? "uint16"
        : data instanceof Int32Array
          ? "int32"
          : "uint8";
  // A copy of its own: the buffer leaves this thread.
  const body = new Uint8Array(data.byteLength);
  body.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return { type: "application/octet-stream", body, array: { dtype, shape } };
}
