import { z } from "zod";
import { type Manifest, modelRecord, type StreamEntry } from "../../capture/folder/manifest.ts";
import { type StreamName, streamSpec } from "../../core/streams.ts";
import { streamName } from "../host/schemas.ts";
import type { FoundCapture } from "./capture-folders.ts";

const count = z.int().nonnegative();

const streamFacts = z.object({
  name: streamName,
  type: z.enum(["float32", "uint16", "int32"]).meta({ description: "element type of answers" }),
  axis: z.string().meta({ description: "name of the axis behind rows, or of several as in heads × keys" }),
  layers: z.array(count),
  widths: z.array(count).meta({ description: "values of a row, by layer" }),
});

/** A capture in the list. */
export const captureSummary = z
  .object({
    id: z.string(),
    name: z.string(),
    /** Where it lies, below the folder that was given to the server. */
    folder: z.string(),
    origin: z.enum(["folder", "recording"]).meta({
      description: "recording: made from a request to this server and kept until newer ones take its place",
    }),
    createdAt: z.string(),
    /** Changes with the contents. */
    version: z.string(),
    engine: z.object({ kind: z.string(), version: z.string() }),
    model: modelRecord().extend({ sha256: z.string().nullable() }),
    streams: z.array(streamFacts),
    rows: count,
    samples: count,
    labels: z.array(z.string()),
    complete: z.boolean(),
    missing: count.meta({ description: "gaps in the rows; see the capture itself for where and why" }),
  })
  .meta({ id: "CaptureSummary" });
export type CaptureSummary = z.infer<typeof captureSummary>;

/** What a manifest says of its capture. */
export function summarize({ id, name, root, version }: FoundCapture, manifest: Manifest): CaptureSummary {
  const { engine, model, streams, samples } = manifest;
  const labels = new Set(samples.map(({ label }) => label));
  return {
    id,
    name,
    folder: name,
    origin: root.origin,
    createdAt: manifest.createdAt,
    version,
    engine: { kind: engine.name, version: engine.version },
    model,
    streams: (Object.entries(streams) as [StreamName, StreamEntry][]).map(
      ([stream, { axes, layers, widths }]) => ({
        name: stream,
        type: streamSpec(stream).type,
        axis: axes.slice(1).join(" × "),
        layers,
        widths: widths ?? layers.map(() => 0),
      }),
    ),
    rows: manifest.rows,
    samples: samples.length,
    labels: [...labels].filter((label) => label !== null),
    complete: manifest.complete,
    missing: manifest.missing.length,
  };
}
