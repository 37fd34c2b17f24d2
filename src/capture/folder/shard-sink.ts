import type { Finished } from "../../core/request.ts";
import type { RowBatch } from "../../core/rows.ts";
import type { RunEnd, RunHeader, Sink } from "../../core/sink.ts";
import type { Capture } from "../capture.ts";
import type { FolderLock } from "./folder-lock.ts";
import { type OpenFolder, ShardWriter } from "./shard-writer.ts";

/** A sink into a folder that it holds the lock of; how the folder comes about is the subclass's. */
export abstract class ShardSink implements Sink<Capture> {
  #writer!: ShardWriter;

  /** @internal Take the folder: nobody else writes to it until the lock is released. */
  protected abstract claim(header: RunHeader): Promise<FolderLock>;

  /** @internal What the folder is to hold, once it is taken. */
  protected abstract prepare(header: RunHeader): Promise<Omit<OpenFolder, "lock">>;

  async open(header: RunHeader): Promise<void> {
    const lock = await this.claim(header);
    try {
      this.#writer = new ShardWriter({ ...(await this.prepare(header)), lock }, header);
      await this.#writer.begin();
    } catch (error) {
      // Why it cannot be opened says more than that the lock stays.
      await lock.release().catch(() => {});
      throw error;
    }
  }

  write(batch: RowBatch): Promise<void> {
    return this.#writer.write(batch);
  }

  finish(samples: readonly Finished[]): Promise<void> {
    return this.#writer.finish(samples);
  }

  close(end: RunEnd): Promise<Capture> {
    return this.#writer.close(end);
  }
}
