import { join } from "node:path";
import type { RowLabels } from "../../core/rows.ts";
import { withFile } from "../../formats/safetensors.ts";
import { type Manifest, ROWS } from "./manifest-record.ts";
import type { OutputRecord } from "./output-record.ts";
import { readShardRows, type ShardRows } from "./shard-rows.ts";

/** What the rows' files of all shards hold together. */
export interface FolderRows {
  /** In stored order. */
  readonly labels: RowLabels;
  readonly tokens: ReadonlyMap<number, string>;
  /** Those that the shards say, as the folders of earlier versions do. */
  readonly outputs: readonly OutputRecord[];
}

/** @throws CaptureError `CAPTURE_INVALID` naming the file. */
export function readRowsOf(folder: string, manifest: Manifest, shard: Manifest["shards"][number]): ShardRows {
  const path = join(folder, shard.files[ROWS]!);
  const means = manifest.run?.reduce === "mean";
  return withFile(path, (fd) => readShardRows(fd, path, shard.rows, manifest.samples.length, means));
}

/** @throws CaptureError `CAPTURE_INVALID` naming the file. */
export function readFolderRows(folder: string, manifest: Manifest): FolderRows {
  const parts = manifest.shards.map((shard) => readRowsOf(folder, manifest, shard));
  const tokens = new Map<number, string>();
  for (const part of parts) for (const [id, text] of part.tokens) tokens.set(id, text);
  // Allocated after the shards were read: the manifest's count alone is not trusted with memory.
  const labels = joinLabels(parts.map((part) => part.labels));
  return { labels, tokens, outputs: parts.flatMap(({ outputs }) => outputs) };
}

/** The labels of some rows and those after them. */
export function joinLabels(parts: readonly RowLabels[]): RowLabels {
  const rows = parts.reduce((sum, { sample }) => sum + sample.length, 0);
  const labels = {
    sample: new Int32Array(rows),
    position: new Int32Array(rows),
    tokenId: new Int32Array(rows),
    phase: new Uint8Array(rows),
  };
  let at = 0;
  for (const part of parts) {
    for (const name of ["sample", "position", "tokenId", "phase"] as const) labels[name].set(part[name], at);
    at += part.sample.length;
  }
  return labels;
}
