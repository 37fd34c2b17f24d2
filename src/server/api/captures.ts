import { z } from "zod";
import { modelRecord } from "../../capture/folder/manifest.ts";
import { FINISH_REASONS } from "../../core/request.ts";
import { captureId, phase, streamName } from "./values.ts";

const count = z.int().nonnegative();

const streamFacts = z.object({
  name: streamName,
  type: z.enum(["float32", "uint16", "int32"]).meta({ description: "element type of answers" }),
  axis: z.string().meta({ description: "name of the axis behind rows, or of several as in heads × keys" }),
  layers: z.array(count),
  widths: z.array(count).meta({ description: "values of a row, by layer" }),
});

/** A capture in the list. */
const captureSummary = z
  .object({
    id: captureId,
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

/** A folder that looks like a capture and cannot be read. */
const brokenCapture = z.object({ folder: z.string(), message: z.string() });

export const captureList = z.object({
  captures: z.array(captureSummary),
  broken: z.array(brokenCapture),
});
export type CaptureList = z.infer<typeof captureList>;

export const capture = captureSummary
  .extend({
    sampleLabels: z.array(z.string().nullable()).meta({ description: "by sample" }),
    promptTokens: z.array(count).meta({ description: "by sample" }),
    firstRows: z.array(count).meta({ description: "by sample, the index of its first row" }),
    outputs: z.array(
      z.object({ sample: count, text: z.string(), tokens: count, reason: z.enum(FINISH_REASONS) }),
    ),
    missingRows: z.array(z.object({ sample: count, from: count, to: count.nullable(), why: z.string() })),
    run: z
      .object({
        maxTokens: count,
        sampling: z.record(z.string(), z.unknown()),
        settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
      })
      .nullable()
      .meta({ description: "how the rows were asked for, where the folder says it" }),
  })
  .meta({ id: "Capture" });
export type CaptureDetails = z.infer<typeof capture>;

export const rowColumns = z
  .object({
    total: count.meta({ description: "rows that meet the conditions" }),
    next: count.nullable().meta({ description: "`from` of the next page" }),
    row: z.array(count).meta({ description: "index in the capture" }),
    sample: z.array(count),
    position: z.array(count),
    tokenId: z.array(z.int()),
    phase: z.array(phase),
    text: z.array(z.string()),
  })
  .meta({ id: "Rows" });
export type RowColumns = z.infer<typeof rowColumns>;

export const vocabulary = z
  .object({ tokenId: z.array(z.int()), text: z.array(z.string()) })
  .meta({ id: "Vocabulary" });
export type Vocabulary = z.infer<typeof vocabulary>;

export const tokenRouting = z
  .object({
    row: count,
    sample: count,
    position: count,
    tokenId: z.int(),
    text: z.string(),
    phase,
    label: z.string().nullable(),
    layers: z.array(
      z.object({
        layer: count,
        experts: z.array(count).meta({ description: "best first" }),
        weights: z.array(z.number()).nullable(),
        entropy: z.number().nullable().meta({ description: "nats; null without router logits" }),
        margin: z.number().nullable().meta({ description: "logits; null without router logits" }),
      }),
    ),
  })
  .meta({ id: "TokenRouting" });
export type TokenRouting = z.infer<typeof tokenRouting>;
