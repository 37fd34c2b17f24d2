import { expertUsage } from "../../analysis/expert-usage.ts";
import { hasRouting } from "../../analysis/rows/chosen.ts";
import type { Capture } from "../../capture/capture.ts";
import { editsInForce } from "../../capture/edits-in-force.ts";
import { REDUCTIONS } from "../../core/plan.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { axesOf, streamSpec } from "../../core/streams.ts";
import { engineFacts, modelFacts } from "./model.ts";
import { usageFacts, usageOf } from "./usage.ts";

const FORMAT = "moescope.report/2";

const sample = schema((z) => {
  const count = z.int().nonnegative();
  return z.looseObject({
    sample: count,
    label: z.string().nullable(),
    promptTokens: count,
    tokens: z.strictObject({
      position: z.array(count),
      token_id: z.array(z.int()),
      text: z.array(z.string()),
      phase: z.array(z.enum(["prompt", "generated"])),
    }),
    output: z
      .strictObject({
        text: z.string(),
        tokens: z.array(z.int()),
        reason: z.string(),
        embedding: z.array(z.number()).optional().meta({ description: "the prompt's, pooled" }),
      })
      .nullable(),
  });
});

/** A capture: what `capture --json` prints. The values of the streams are not in it; `--out` writes those. */
export const captureFacts = schema((z) => {
  const count = z.int().nonnegative();
  return z.strictObject({
    format: z.literal(FORMAT),
    model: modelFacts(),
    engine: engineFacts(),
    rows: count,
    edits: z
      .array(z.string())
      .optional()
      .meta({ description: "what was changed in the computation; absent: nothing" }),
    reduce: z.enum(REDUCTIONS).meta({ description: "what became of the selected rows of a sample" }),
    dropped: count.meta({ description: "rows beyond the run's limit, which were not kept" }),
    streams: z.array(
      z.strictObject({
        name: z.string(),
        type: z.string(),
        axes: z.array(z.string()),
        dims: z.array(count),
        layers: z.array(count),
      }),
    ),
    embedding: z
      .strictObject({
        pooling: z.string(),
        normalize: z.boolean(),
        samples: count.meta({ description: "that have one" }),
        size: count.meta({ description: "values of one" }),
      })
      .nullable()
      .meta({ description: "of the outputs' embeddings; null: there are none" }),
    samples: z.array(sample()).nullable().meta({ description: "token by token; null where it is left out" }),
    usage: usageFacts().nullable().meta({ description: "null for a capture without routing" }),
  });
});
export type CaptureFacts = Parsed<typeof captureFacts>;

/** @param samples whether each sample is to be told token by token. */
export function captureFactsOf(capture: Capture, { samples }: { readonly samples: boolean }): CaptureFacts {
  const outputs = new Map(capture.outputs.map((output) => [output.sample, output]));
  const edits = editsInForce(capture);
  return {
    format: FORMAT,
    model: capture.model,
    engine: { kind: capture.engine.kind, version: capture.engine.version },
    rows: capture.rows.length,
    ...(edits.length > 0 && { edits }),
    reduce: capture.reduce,
    dropped: capture.dropped,
    streams: capture.streams.map((name) => streamOf(capture, name)),
    embedding: embeddingOf(capture),
    samples: samples ? capture.samples.map((_, index) => sampleOf(capture, index, outputs.get(index))) : null,
    usage: hasRouting(capture) ? usageOf(expertUsage(capture), { byLabel: true }) : null,
  };
}

function streamOf(capture: Capture, name: Capture["streams"][number]) {
  const tensors = capture.stream(name);
  const layers = [...tensors.keys()];
  const sizes = layers.length > 0 ? tensors.rowDims(layers[0]!) : axesOf(name, 1).map(() => 0);
  return {
    name,
    type: streamSpec(name).type,
    axes: ["rows", ...axesOf(name, sizes.length)],
    dims: [capture.rows.length, ...sizes],
    layers,
  };
}

function sampleOf(
  capture: Capture,
  index: number,
  output: Capture["outputs"][number] | undefined,
): Parsed<typeof sample> {
  const { rows } = capture.sample(index);
  return {
    sample: index,
    ...capture.samples[index]!,
    tokens: {
      position: [...rows.position],
      token_id: [...rows.tokenId],
      text: rows.text,
      phase: rows.phase,
    },
    output: output ? outputOf(output) : null,
  };
}

const outputOf = ({ text, tokens, reason, embedding }: Capture["outputs"][number]) => ({
  text,
  tokens: [...tokens],
  reason,
  ...(embedding && { embedding: [...embedding] }),
});

function embeddingOf({ embedding, outputs }: Capture): CaptureFacts["embedding"] {
  const size = outputs[0]?.embedding?.length;
  if (!embedding || size === undefined) return null;
  const { pooling, normalize } = embedding;
  return { pooling, normalize, samples: outputs.length, size };
}
