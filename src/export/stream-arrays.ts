import { rowChunks } from "../analysis/rows/chosen.ts";
import type { Capture } from "../capture/capture.ts";
import { checkCapture } from "../capture/check-capture.ts";
import { RequestError } from "../core/errors.ts";
import { type StreamName, streamSpec } from "../core/streams.ts";
import type { NpyArray, NpyType } from "../formats/npy.ts";

const NPY_TYPES: Record<"float32" | "uint16" | "int32", NpyType> = {
  float32: "<f4",
  uint16: "<u2",
  int32: "<i4",
};

/** A stream of a capture as one array `[rows, layers, ...]`. */
export interface StreamArray extends NpyArray {
  readonly stream: StreamName;
  /** The layer of each entry of the second axis. */
  readonly layers: readonly number[];
}

/**
 * A stream of all its layers as one array `[rows, layers, ...]`, in pieces of some megabytes: for {@link npyBytes}.
 *
 * @throws RequestError `INVALID_ARGUMENT` when the stream's layers differ in width; `UNKNOWN_STREAM` when the capture
 * does not have it.
 * @example
 * import { createWriteStream } from "node:fs";
 * import { Readable } from "node:stream";
 * import { npyBytes, streamArray } from "moescope";
 * const logits = streamArray(capture, "router_logits");
 * console.log(logits.shape, logits.layers); // [rows, layers, experts], the layer of each entry
 * Readable.from(npyBytes(logits)).pipe(createWriteStream("router-logits.npy"));
 */
export function streamArray(capture: Capture, stream: StreamName): StreamArray {
  checkCapture("streamArray", "the capture", capture);
  const tensors = capture.stream(stream);
  const layers = [...tensors.keys()];
  const widths = new Set(layers.map((layer) => tensors.width(layer)));
  if (widths.size > 1)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `the layers of ${stream} have widths ${[...widths].join(", ")}: they make no array; read the capture folder`,
    );
  const [width = 0] = widths;
  // A stream may have several axes, e.g. expert outputs [top_k, hidden].
  const dims = layers.length > 0 ? tensors.rows(layers[0]!, 0, 0).dims.slice(1) : [width];
  function* chunks(): Generator<ArrayBufferView> {
    for (const [from, to] of rowChunks(capture.rows.length)) {
      // A few rows at a time where they are wide: 48 layers of 4096 hidden values take 0.8 MB each.
      const step = Math.max(1, Math.min(to - from, Math.floor(CHUNK_VALUES / (layers.length * width))));
      for (let first = from; first < to; first += step) yield interleave(first, Math.min(to, first + step));
    }
  }
  function interleave(from: number, to: number): ArrayBufferView {
    const parts = layers.map((layer) => tensors.rows(layer, from, to).data);
    const out = new (parts[0]!.constructor as Float32ArrayConstructor)((to - from) * layers.length * width);
    parts.forEach((data, i) => {
      for (let row = 0; row < to - from; row++)
        out.set(data.subarray(row * width, (row + 1) * width), (row * layers.length + i) * width);
    });
    return out;
  }
  return {
    stream,
    layers,
    type: NPY_TYPES[streamSpec(stream).type],
    shape: [capture.rows.length, layers.length, ...dims],
    chunks: { [Symbol.iterator]: chunks },
  };
}

/** 16 MB of floats. */
const CHUNK_VALUES = 4 << 20;
