import { join, resolve } from "node:path";
import { CaptureError } from "../../core/errors.ts";
import { argument, text } from "../../core/options.ts";
import { describedDims, type Reduction } from "../../core/plan.ts";
import type { RowLabels } from "../../core/rows.ts";
import type { StreamName } from "../../core/streams.ts";
import type { TensorDataTypes, TensorType } from "../../core/tensor.ts";
import { layerTensor } from "../../formats/row-tensors.ts";
import { readHeader, withFile } from "../../formats/safetensors.ts";
import { Capture } from "../capture.ts";
import type { CaptureSource } from "../source.ts";
import { withEmbeddings } from "./embeddings.ts";
import { type FolderRows, readFolderRows } from "./folder-rows.ts";
import { type FolderValues, folderDims, readFolder, type StreamShard } from "./folder-values.ts";
import { readManifest } from "./manifest.ts";
import { type Manifest, rowDims, storedStreams } from "./manifest-record.ts";
import { mergeOutputs } from "./output-record.ts";
import { readPromptTokens } from "./prompt-tokens.ts";
import { inOrder, storedOrder } from "./stored-order.ts";

/**
 * Open a capture folder, complete or not. Every file is checked and the labels are read; values are read from the
 * disk when they are asked for.
 *
 * @throws CaptureError `CAPTURE_INVALID`, naming the file that is missing, truncated or wrong.
 * @example
 * import { openCapture } from "moescope";
 * const stored = await openCapture("run1");
 * if (!stored.complete) console.log("the run did not end; missing:", stored.missing);
 * for (const [layer, logits] of stored.routerLogits) console.log(layer, logits.dims); // a layer at a time
 */
export async function openCapture(folder: string): Promise<Capture> {
  argument("openCapture", "the folder", folder, text);
  return captureIn(folder, await readManifest(folder));
}

/**
 * {@link openCapture} for whoever has the manifest.
 *
 * @param rows what the rows' files hold, where that is known.
 */
export function captureIn(
  folder: string,
  manifest: Manifest,
  rows: FolderRows = readFolderRows(folder, manifest),
): Capture {
  const shards = new Map(
    storedStreams(manifest.streams).map((name) => [name, checkShards(folder, manifest, name)]),
  );
  warnOfSaturation(folder, manifest);
  return Capture.of(new FolderSource(folder, manifest, rows, shards));
}

/** A capture that float16 was too narrow for says so when it has been written, and whenever it is opened. */
function warnOfSaturation(folder: string, { streams }: Manifest): void {
  for (const [stream, entry] of Object.entries(streams))
    if (entry?.saturated)
      process.emitWarning(
        `${folder}: ${entry.saturated} values of ${stream} lie beyond ±65504, which float16 stores as infinite; ` +
          'capture with dtype "bfloat16" or "float32" to keep them. Analyses leave out the rows that have them',
        { type: "MoescopeWarning", code: "FLOAT16_SATURATED" },
      );
}

class FolderSource implements CaptureSource {
  readonly header: CaptureSource["header"];
  readonly labels: RowLabels;
  readonly finished: CaptureSource["finished"];
  readonly complete: boolean;
  readonly missing: CaptureSource["missing"];
  readonly dropped: number;
  readonly reduce: Reduction;
  readonly origin: CaptureSource["origin"];
  readonly streams: CaptureSource["streams"];
  readonly tokenText: CaptureSource["tokenText"];
  readonly #values: FolderValues;
  readonly #promptTokens: (() => readonly Int32Array[]) | null;
  #prompts: readonly Int32Array[] | null = null;

  constructor(
    folder: string,
    manifest: Manifest,
    { labels, tokens, outputs }: FolderRows,
    shards: ReadonlyMap<StreamName, readonly StreamShard[]>,
  ) {
    const { engine, model, samples, streams, complete, missing, embeddings, edits } = manifest;
    this.complete = complete;
    this.missing = missing;
    this.dropped = manifest.dropped ?? 0;
    this.reduce = manifest.run?.reduce ?? "all";
    this.#promptTokens = manifest.run ? () => readPromptTokens(folder, samples) : null;
    const embedding = embeddings && { pooling: embeddings.pooling, normalize: embeddings.normalize };
    this.header = {
      engine: { kind: engine.name, version: engine.version },
      model,
      samples,
      ...(edits && { edits }),
      ...(embedding && { embedding }),
    };
    this.finished = withEmbeddings(mergeOutputs(outputs, manifest.outputs), folder, embeddings);
    const names = Object.keys(streams) as StreamName[];
    this.streams = names.map((name) => ({ name, layers: streams[name]!.layers }));
    this.tokenText = (id) => tokens.get(id) ?? `<token ${id}>`;
    const order = storedOrder(labels, samples.length);
    this.labels = {
      sample: inOrder(labels.sample, order),
      position: inOrder(labels.position, order),
      tokenId: inOrder(labels.tokenId, order),
      phase: inOrder(labels.phase, order),
    };
    this.#values = { streams, shards, order };
    this.origin = { folder: resolve(folder), samples: null, values: this.#values, spans: null };
  }

  dims(stream: StreamName, layer: number): readonly number[] {
    // Without a row the manifest does not tell how wide one is.
    return this.labels.sample.length === 0 && this.#values.streams[stream]!.dims === undefined
      ? describedDims(this.header.model, stream, layer)
      : folderDims(this.#values, stream, layer);
  }

  promptTokens(sample: number): Int32Array | null {
    this.#prompts ??= this.#promptTokens?.() ?? null;
    return this.#prompts?.[sample] ?? null;
  }

  read(stream: StreamName, layer: number, from: number, to: number): TensorDataTypes[TensorType] {
    return readFolder(this.#values, stream, layer, from, to);
  }
}

/** Check that every shard of a stream has the tensors the manifest says. */
function checkShards(folder: string, { shards, streams }: Manifest, name: StreamName): StreamShard[] {
  const entry = streams[name]!;
  const { dtype, layers } = entry;
  return shards.map(({ files, firstRow, rows }) => {
    const path = join(folder, files[name]!);
    const { tensors } = withFile(path, (fd) => readHeader(fd, path));
    const offsets = Float64Array.from(layers, (layer, i) => {
      const shape = [rows, ...rowDims(entry, i)].join();
      const stored = tensors.get(layerTensor(name, layer));
      if (stored?.dtype !== dtype || stored.shape.join() !== shape) {
        const axes = entry.axes.map((axis) => `"${axis}"`).join(", ");
        throw new CaptureError(
          "CAPTURE_INVALID",
          `${path} has ${stored ? `${stored.dtype} [${stored.shape}]` : "nothing"} as "${name}.${layer}" where the ` +
            `manifest says ${dtype} [${shape}] (${axes}); restore both files from the same capture`,
        );
      }
      return stored.offset;
    });
    return { path, firstRow, rows, offsets };
  });
}
