import { FolderSink } from "../../capture/folder/folder-sink.ts";
import type { Finished } from "../../core/request.ts";
import type { RowBatch } from "../../core/rows.ts";
import type { RunEnd, RunHeader, Sink } from "../../core/sink.ts";
import { ServerError } from "../host/server-error.ts";

/** A recording is written in files of this size, which memory holds while it runs. */
const SHARD = 1 << 20;
/** Sample, position, token id and phase. */
const BYTES_OF_LABELS = 13;

/** Who knows how much room there is. */
export interface RecordingRoom {
  grow(folder: string, bytes: number): Promise<boolean>;
  keep(folder: string): Promise<void>;
  drop(folder: string): Promise<void>;
}

/** The rows of one request on their way to the disk, as long as there is room for them. */
export class Recording implements Sink<void> {
  readonly #folder: string;
  readonly #room: RecordingRoom;
  readonly #wanted: boolean;
  readonly #sink: FolderSink;
  #state: "new" | "open" | "given up" | "closed" = "new";
  #rows = 0;

  /** @param wanted whether the run is for the rows alone: it fails where there is no room, others go on without. */
  constructor(folder: string, room: RecordingRoom, wanted: boolean) {
    this.#folder = folder;
    this.#room = room;
    this.#wanted = wanted;
    this.#sink = new FolderSink(folder, { shardBytes: SHARD });
  }

  async open(header: RunHeader): Promise<void> {
    await this.#sink.open(header);
    this.#state = "open";
  }

  /** @throws ServerError `TOO_LARGE` where the rows were asked for and there is no room. */
  async write(batch: RowBatch): Promise<void> {
    if (this.#state !== "open") return;
    if (!(await this.#room.grow(this.#folder, bytesOf(batch)))) {
      if (this.#wanted)
        throw new ServerError(
          "TOO_LARGE",
          "the rows are more than there is room for among the recordings; start with moescope serve MODEL FOLDER to keep captures",
        );
      this.#state = "given up";
      await this.#sink.close({ finished: [], error: new Error("there is no room for it") }).catch(() => {});
      return;
    }
    this.#rows += batch.rows;
    await this.#sink.write(batch);
  }

  async finish(samples: readonly Finished[]): Promise<void> {
    if (this.#state === "open") await this.#sink.finish?.(samples);
  }

  async close(end: RunEnd): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "closed";
    await this.#sink.close(end);
  }

  /** The run has ended, somehow. @returns the folder, or `null` where nothing is kept. */
  async end(): Promise<string | null> {
    if (this.#state !== "closed" || this.#rows === 0) {
      await this.#room.drop(this.#folder);
      return null;
    }
    await this.#room.keep(this.#folder);
    return this.#folder;
  }
}

function bytesOf({ rows, streams }: RowBatch): number {
  let bytes = rows * BYTES_OF_LABELS;
  for (const layers of streams.values()) for (const { byteLength } of layers.values()) bytes += byteLength;
  return bytes;
}
