import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { RunHeader } from "../../core/sink.ts";
import { storageError } from "../../formats/atomic-file.ts";
import { ROWS_PARQUET } from "../../formats/rows-parquet.ts";
import { assertDiskFits } from "./assert-disk-fits.ts";
import { type FolderLock, lockFolder } from "./folder-lock.ts";
import { readFolderRows } from "./folder-rows.ts";
import { readManifest } from "./manifest.ts";
import { mergeOutputs, recordOfOutput } from "./output-record.ts";
import { modeOfFiles } from "./permissions.ts";
import { writeManifest } from "./shard-files.ts";
import { ShardSink } from "./shard-sink.ts";
import type { OpenFolder } from "./shard-writer.ts";
import { removeStrays, withoutSamples } from "./unfinished-rows.ts";

/**
 * Continues a folder that is not complete. Once open, {@link unfinished} names the samples that are to run again,
 * from their start: the rows they had are taken out. Keeping those would need the second run to draw the same tokens
 * to the last one, and rounding differs with what shares a batch.
 *
 * @throws CaptureError `CAPTURE_IN_USE`, `CAPTURE_INVALID` or `STORAGE_FAILED`; RequestError
 * `CAPTURE_TOO_LARGE`.
 */
export class ResumeSink extends ShardSink {
  readonly #folder: string;
  #unfinished: readonly number[] = [];

  constructor(folder: string) {
    super();
    this.#folder = folder;
  }

  get unfinished(): readonly number[] {
    return this.#unfinished;
  }

  protected claim(): Promise<FolderLock> {
    return lockFolder(this.#folder);
  }

  protected async prepare(header: RunHeader): Promise<Omit<OpenFolder, "lock">> {
    const folder = this.#folder;
    const manifest = await readManifest(folder);
    const { tokens, outputs } = readFolderRows(folder, manifest);
    // A sample that ended, but whose last rows could not be written, is not done.
    const lacking = new Set(manifest.missing.map(({ sample }) => sample));
    const done = mergeOutputs(outputs, manifest.outputs).filter(({ sample }) => !lacking.has(sample));
    const isDone = new Set(done.map(({ sample }) => sample));
    this.#unfinished = [...manifest.samples.keys()].filter((sample) => !isDone.has(sample));
    await assertDiskFits(folder, header, manifest.streams, this.#unfinished);
    const options = { mode: await modeOfFiles(folder) };
    const shards = await withoutSamples(folder, manifest, new Set(this.#unfinished), options);
    const inShards = new Set(outputs.map(({ sample }) => sample));
    const next = {
      ...manifest,
      shards,
      rows: shards.reduce((sum, { rows }) => sum + rows, 0),
      outputs: done.filter(({ sample }) => !inShards.has(sample)).map(recordOfOutput),
      missing: [],
      complete: false,
    };
    try {
      // Its rows would no longer be those of the shards; the writer makes it anew.
      await rm(join(folder, ROWS_PARQUET), { force: true });
      await writeManifest(folder, next, options);
      await removeStrays(folder, next);
    } catch (cause) {
      throw storageError(folder, cause);
    }
    const { shardBytes } = manifest.run!;
    return { folder, manifest: next, shardBytes, options, tokens, outputs: done };
  }
}
