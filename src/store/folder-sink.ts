import type { Capture } from "../capture/capture.ts";
import type { RowBatch } from "../capture/rows.ts";
import type { RunEnd, RunHeader, Sink } from "../capture/sink.ts";

export class FolderSink implements Sink<Capture> {
  constructor(_folder: string) {}
  open(_header: RunHeader): void {}
  write(_batch: RowBatch): void {}
  close(_end: RunEnd): Capture {
    throw new Error("not written yet");
  }
}
