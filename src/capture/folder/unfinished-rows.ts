import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { WriteOptions } from "../../formats/atomic-file.ts";
import {
  DTYPES,
  type DtypeArray,
  readHeader,
  readInto,
  type TensorData,
  withFile,
} from "../../formats/safetensors.ts";
import { readRowsOf } from "./folder-rows.ts";
import { JOURNAL_FILE } from "./journal.ts";
import { type Manifest, ROWS, type Shard, storedStreams } from "./manifest-record.ts";
import { nextShardNumber, writeShard } from "./shard-files.ts";
import { rowTensors } from "./shard-rows.ts";

/**
 * The shards without the rows of some samples. A shard that has such rows is written anew, under a new name, with its
 * tokens' texts and outputs; what there was stays until a manifest without it is in place. Holds one stream of one
 * shard in memory.
 */
export async function withoutSamples(
  folder: string,
  manifest: Manifest,
  drop: ReadonlySet<number>,
  options?: WriteOptions,
): Promise<Shard[]> {
  const shards: Shard[] = [];
  let number = nextShardNumber(manifest.shards);
  let firstRow = 0;
  for (const shard of manifest.shards) {
    const { labels, tokens, outputs } = readRowsOf(folder, manifest, shard);
    const kept = Uint32Array.from(labels.sample.keys()).filter((row) => !drop.has(labels.sample[row]!));
    let { files } = shard;
    if (kept.length < shard.rows) {
      const pick = <A extends DtypeArray>(column: A): A => pickRows(column, kept, 1);
      const tensors = new Map([
        [
          ROWS,
          rowTensors({
            labels: {
              sample: pick(labels.sample),
              position: pick(labels.position),
              tokenId: pick(labels.tokenId),
              phase: pick(labels.phase),
            },
            tokens,
            outputs,
          }),
        ],
      ]);
      files = await writeShard(folder, number, tensors, options);
      for (const stream of storedStreams(manifest.streams)) {
        const data = pickTensors(join(folder, shard.files[stream]!), kept);
        files = { ...files, ...(await writeShard(folder, number, new Map([[stream, data]]), options)) };
      }
      number++;
    }
    shards.push({ firstRow, rows: kept.length, files });
    firstRow += kept.length;
  }
  return shards;
}

/** The tensors of a stream's file with the chosen rows only. */
function pickTensors(path: string, kept: Uint32Array): TensorData[] {
  return withFile(path, (fd) =>
    [...readHeader(fd, path).tensors].map(([name, { dtype, shape, offset }]) => {
      const [rows = 0, ...dims] = shape;
      const width = dims.reduce((product, size) => product * size, 1);
      const data = readInto<DtypeArray>(fd, path, offset, new DTYPES[dtype](rows * width));
      return { name, dtype, shape: [kept.length, ...dims], data: pickRows(data, kept, width) };
    }),
  );
}

function pickRows<A extends DtypeArray>(data: A, kept: Uint32Array, width: number): A {
  const out = data.slice(0, kept.length * width) as A;
  kept.forEach((row, place) => {
    out.set(data.subarray(row * width, (row + 1) * width), place * width);
  });
  return out;
}

/**
 * Remove what a killed run left beside the files of the manifest: shards it did not come to name, files half written, and
 * the journal whose entries are in the manifest by now.
 */
export async function removeStrays(folder: string, { shards, embeddings }: Manifest): Promise<void> {
  const named = new Set([
    ...shards.flatMap(({ files }) => Object.values(files)),
    ...(embeddings?.files ?? []),
  ]);
  for (const file of await readdir(folder))
    if (
      (/-\d{5,}\.safetensors$/.test(file) && !named.has(file)) ||
      /^\..*\.part$/.test(file) ||
      file === JOURNAL_FILE
    )
      await rm(join(folder, file), { force: true });
}
