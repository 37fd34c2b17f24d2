import { type FolderValues, folderDims, readFolder } from "../../capture/folder/folder-values.ts";
import { readSpans } from "../../capture/selected-source.ts";
import type { CaptureOrigin } from "../../capture/source.ts";
import type { StreamName } from "../../core/streams.ts";
import type { StreamReader } from "../rows/stream-reader.ts";

/** The reader of a folder's rows in a thread that has not opened it. */
export function originReader({ values, spans }: CaptureOrigin): StreamReader {
  const folder = values as FolderValues;
  const width = (stream: StreamName, layer: number) =>
    folderDims(folder, stream, layer).reduce((product, size) => product * size, 1);
  const read = (stream: StreamName, layer: number, from: number, to: number) =>
    spans
      ? readSpans(spans, stream, width(stream, layer), from, to, (begin, end) =>
          readFolder(folder, stream, layer, begin, end),
        )
      : readFolder(folder, stream, layer, from, to);
  return {
    has: (stream, layer) => folder.streams[stream]?.layers.includes(layer) ?? false,
    width,
    read: read as StreamReader["read"],
  };
}
