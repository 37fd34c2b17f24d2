/** numpy's name of an element type: little-endian, or a byte. */
export type NpyType = "|u1" | "<u2" | "<i4" | "<f4";

/**
 * The bytes before the values of a `.npy` file, format 1.0: magic, version, header length, a Python dictionary, padded
 * so that the values are aligned to 64 bytes (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
 */
function npyHeader(type: NpyType, shape: readonly number[]): Uint8Array {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const text = `{'descr': '${type}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  const bytes = Buffer.alloc(10 + length, " ");
  bytes.write("\x93NUMPY\x01\x00", "latin1");
  bytes.writeUInt16LE(length, 8);
  bytes.write(text, 10, "latin1");
  bytes[bytes.length - 1] = 0x0a;
  return bytes;
}

/** An array in pieces: C order, what the pieces hold together is the shape. */
export interface NpyArray {
  readonly type: NpyType;
  readonly shape: readonly number[];
  readonly chunks: Iterable<ArrayBufferView>;
}

/**
 * The file's bytes in order; a piece is in memory at a time.
 *
 * @example
 * import { createWriteStream } from "node:fs";
 * import { Readable } from "node:stream";
 * import { npyBytes, streamArray } from "moescope";
 * const states = npyBytes(streamArray(capture, "hidden_states"));
 * Readable.from(states).pipe(createWriteStream("hidden-states.npy")); // numpy.load("hidden-states.npy")
 */
export function* npyBytes({ type, shape, chunks }: NpyArray): Generator<Uint8Array> {
  yield npyHeader(type, shape);
  for (const { buffer, byteOffset, byteLength } of chunks)
    yield new Uint8Array(buffer, byteOffset, byteLength);
}
