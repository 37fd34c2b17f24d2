import { join } from "node:path";
import type { RowLabels } from "../../core/rows.ts";
import { withFile } from "../../formats/safetensors.ts";
import { type Manifest, ROWS } from "./manifest.ts";
import type { OutputRecord } from "./output-record.ts";
import { readShardRows, type ShardRows } from "./shard-rows.ts";

/** What the rows' files of all shards hold together. */
export interface FolderRows {
  /** In stored order. */
  readonly labels: RowLabels;
  readonly tokens: ReadonlyMap<number, string>;
  readonly outputs: readonly OutputRecord[];
}

/** @throws CaptureError `CAPTURE_INVALID` naming the file. */
export function readRowsOf(folder: string, manifest: Manifest, shard: Manifest["shards"][number]): ShardRows {
  const path = join(folder, shard.files[ROWS]!);
  return withFile(path, (fd) => readShardRows(fd, path, shard.rows, manifest.samples.length));
}

/** @throws CaptureError `CAPTURE_INVALID` naming the file. */
export function readFolderRows(folder: string, manifest: Manifest): FolderRows {
  const { shards, rows } = manifest;
  const parts = shards.map((shard) => readRowsOf(folder, manifest, shard));
  // Allocated after the shards were read: the manifest's count alone is not trusted with memory.
  const labels = {
    sample: new Int32Array(rows),
    position: new Int32Array(rows),
    tokenId: new Int32Array(rows),
    phase: new Uint8Array(rows),
  };
  const tokens = new Map<number, string>();
  parts.forEach((part, i) => {
    for (const name of ["sample", "position", "tokenId", "phase"] as const)
      labels[name].set(part.labels[name], shards[i]!.firstRow);
    for (const [id, text] of part.tokens) tokens.set(id, text);
  });
  return { labels, tokens, outputs: parts.flatMap(({ outputs }) => outputs) };
}
