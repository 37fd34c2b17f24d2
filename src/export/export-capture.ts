import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { expertUsage } from "../analysis/expert-usage.ts";
import type { Capture } from "../capture/capture.ts";
import { checkCapture } from "../capture/check-capture.ts";
import { argument, oneOf, text } from "../core/options.ts";
import { replaceFile, storageError } from "../formats/atomic-file.ts";
import { type NpyArray, npyBytes } from "../formats/npy.ts";
import { expertLoad } from "./expert-load.ts";
import { EXPORT_FORMATS, type ExportFormat } from "./formats.ts";
import { routedExperts } from "./routed-experts.ts";
import { streamArray } from "./stream-arrays.ts";
import { usageCsv, usageParquet } from "./usage-table.ts";

/**
 * Write a capture in a format of others. Values pass through in pieces: a capture of any size takes a few megabytes.
 *
 * - `routed-experts`: a folder with `routed_experts.npy` and `index.json`, see {@link routedExperts};
 * - `expert-load`: JSON, see {@link expertLoad};
 * - `usage-csv`, `usage-parquet`: a line per layer, label and expert, see {@link UsageRow};
 * - `npy`: a folder with `<stream>.npy` of every stream, `[rows, layers, ...]`, the rows' labels as `sample.npy`,
 *   `position.npy` and `token_id.npy`, pooled embeddings as `embeddings.npy`, `[samples, values]`, and `index.json` with
 *   the layers and the samples that have an embedding.
 *
 * @returns the paths written.
 * @throws RequestError when the capture lacks what the format needs, or for a wrong argument; CaptureError
 *   `STORAGE_FAILED`.
 * @example
 * import { exportCapture, openCapture } from "moescope";
 * const [table] = await exportCapture(await openCapture("run1"), "usage-parquet", "usage.parquet");
 * console.log(table); // for pandas, polars or DuckDB
 */
export async function exportCapture(capture: Capture, format: ExportFormat, to: string): Promise<string[]> {
  checkCapture("exportCapture", "the capture", capture);
  argument("exportCapture", "the format", format, oneOf(EXPORT_FORMATS));
  argument("exportCapture", "the path", to, text);
  switch (format) {
    case "routed-experts": {
      const { array, samples, moeLayers, experts } = routedExperts(capture);
      const index = {
        format: "moescope.routed-experts/1",
        model: capture.model.name,
        shape: array.shape,
        experts,
        moe_layers: moeLayers,
        complete: capture.complete,
        samples: samples.map(({ sample, label, promptTokens, from, to: end }) => ({
          sample,
          label,
          prompt_tokens: promptTokens,
          from,
          to: end,
        })),
      };
      return writeFolder(to, { "routed_experts.npy": npyBytes(array), "index.json": [json(index)] });
    }
    case "expert-load":
      return writeFile(to, [json(expertLoad(capture.model, expertUsage(capture)))]);
    case "usage-csv":
      return writeFile(to, usageCsv(expertUsage(capture)));
    case "usage-parquet":
      return writeFile(to, [await usageParquet(expertUsage(capture))]);
    case "npy":
      return writeFolder(to, arraysOf(capture));
  }
}

function arraysOf(capture: Capture): Record<string, Iterable<Uint8Array>> {
  const { rows } = capture;
  const streams = capture.streams
    .filter((stream) => capture.stream(stream).size > 0)
    .map((stream) => streamArray(capture, stream));
  const labels = { sample: rows.sample, position: rows.position, token_id: rows.tokenId };
  const embedded = capture.outputs.filter((output) => "embedding" in output);
  const index = {
    format: "moescope.npy/1",
    model: capture.model.name,
    streams: Object.fromEntries(streams.map(({ stream, layers, shape }) => [stream, { shape, layers }])),
    ...(embedded.length > 0 && {
      embeddings: { ...capture.embedding, samples: embedded.map(({ sample }) => sample) },
    }),
  };
  return {
    ...Object.fromEntries(streams.map((array) => [`${array.stream}.npy`, npyBytes(array)])),
    ...Object.fromEntries(
      Object.entries(labels).map(([name, data]) => [
        `${name}.npy`,
        npyBytes({ type: "<i4", shape: [rows.length], chunks: [data] }),
      ]),
    ),
    ...(embedded.length > 0 && { "embeddings.npy": npyBytes(embeddingArray(embedded)) }),
    "index.json": [json(index)],
  };
}

/** `[samples, values]`; each is read when it is written. */
function embeddingArray(outputs: Capture["outputs"]): NpyArray {
  const size = outputs[0]!.embedding!.length;
  const chunks = (function* () {
    for (const output of outputs) yield output.embedding!;
  })();
  return { type: "<f4", shape: [outputs.length, size], chunks };
}

async function writeFile(path: string, chunks: Iterable<Uint8Array>): Promise<string[]> {
  await replaceFile(path, chunks);
  return [path];
}

async function writeFolder(
  folder: string,
  files: Readonly<Record<string, Iterable<Uint8Array>>>,
): Promise<string[]> {
  await mkdir(folder, { recursive: true }).catch((cause) => {
    throw storageError(folder, cause);
  });
  const written: string[] = [];
  for (const [name, chunks] of Object.entries(files)) {
    await replaceFile(join(folder, name), chunks);
    written.push(join(folder, name));
  }
  return written;
}

const json = (value: unknown) => Buffer.from(`${JSON.stringify(value)}\n`);
