import type { Capture } from "../../capture/capture.ts";
import type { StreamName, StreamType } from "../../core/streams.ts";
import type { TensorDataTypes } from "../../core/tensor.ts";

/** Reads values of a capture, wherever they are; what a scan and the measures it feeds read with. */
export interface StreamReader {
  has(stream: StreamName, layer: number): boolean;
  /** Values of a row in a layer that {@link has} the stream. */
  width(stream: StreamName, layer: number): number;
  /** Rows `[from, to)` of a layer that {@link has} the stream, row-major. */
  read<S extends StreamName>(
    stream: S,
    layer: number,
    from: number,
    to: number,
  ): TensorDataTypes[StreamType<S>];
}

/** The reader of a capture's rows. */
export function readerOf(capture: Capture): StreamReader {
  const layersOf = new Map(
    capture.streams.map((name) => [name, new Set(capture.stream(name).keys())] as const),
  );
  return {
    has: (stream, layer) => layersOf.get(stream)?.has(layer) ?? false,
    width: (stream, layer) => capture.stream(stream).width(layer),
    read: (stream, layer, from, to) => capture.stream(stream).rows(layer, from, to).data,
  };
}
