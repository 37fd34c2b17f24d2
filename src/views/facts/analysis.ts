import type { z } from "zod";
import {
  ANALYSIS_FORMAT,
  type CaptureAnalysis,
  type LayerAnalysis,
} from "../../analysis/capture-analysis.ts";
import type { Measure } from "../../analysis/measures/measure.ts";
import { allMeasures } from "../../analysis/measures/registry.ts";
import { schema } from "../../core/schema.ts";
import { engineFacts, modelFacts } from "./model.ts";

export type { CaptureAnalysis, LayerAnalysis };

/** `CaptureAnalysis`: what `analyze --json` prints and reports are made of. */
export const analysisFacts = schema((z) => {
  const layers = z.array(layerFacts());
  return z.strictObject({ ...analysisHead(z), layers, ...results("capture") });
});

/** One layer of it. */
export const layerFacts = schema((z) => {
  const count = z.int().nonnegative();
  return z.strictObject({ layer: count, rows: count, ...results("layer") });
});

/** The analysis with each measure's overview of a layer, which leaves large parts out. */
export const overviewFacts = schema((z) => {
  const count = z.int().nonnegative();
  const layer = z.strictObject({ layer: count, rows: count, ...results("layer", true) });
  return z.strictObject({ ...analysisHead(z), layers: z.array(layer), ...results("capture") });
});

/** What the server says of all layers; the parts that are left out (`null`) come with the layer. */
export type AnalysisOverview = Omit<CaptureAnalysis, "layers"> & {
  readonly layers: readonly Overview<LayerAnalysis>[];
};
type Overview<L> = { readonly [K in keyof L]: K extends "tokenPreferences" | "labelScores" ? null : L[K] };

export function analysisOverview(analysis: CaptureAnalysis): AnalysisOverview {
  const layers = analysis.layers.map((layer) => {
    const brief = { ...layer } as Record<string, unknown>;
    for (const measure of allMeasures)
      if (measure.scope === "layer" && measure.overview)
        brief[measure.name] = measure.overview(brief[measure.name]);
    return brief;
  });
  return { ...analysis, layers: layers as unknown as AnalysisOverview["layers"] };
}

const isOf = ({ scope }: Measure, where: "layer" | "capture") => (scope === "layer") === (where === "layer");

function results(where: "layer" | "capture", overview = false): Record<string, z.ZodType> {
  return Object.fromEntries(
    allMeasures
      .filter((measure) => isOf(measure, where))
      .map((measure) => {
        const of = measure.schema().meta({ description: measure.words.text });
        return [measure.name, overview && measure.overview ? of.nullable() : of];
      }),
  );
}

/** What stands in it beside the measures' results. */
export function analysisHead(zod: typeof z) {
  const count = zod.int().nonnegative();
  const completeness = zod.strictObject({
    complete: zod.boolean(),
    rows: count,
    promptRows: count,
    generatedRows: count,
    samples: count,
    samplesWithRows: count,
    promptTokensWithoutRow: count,
    missing: zod.array(
      zod.strictObject({ sample: count, from: count, to: count.nullable(), why: zod.string() }),
    ),
    streams: zod.array(zod.strictObject({ name: zod.string(), layers: zod.array(count) })),
    layersWithoutRows: zod.array(count),
  });
  return {
    format: zod.literal(ANALYSIS_FORMAT),
    model: modelFacts(),
    engine: engineFacts(),
    experts: count,
    topK: count,
    fairShare: zod.number().meta({ description: "topK / experts" }),
    edits: zod
      .array(zod.string())
      .optional()
      .meta({ description: "what was changed in the computation, in words; absent: nothing" }),
    completeness,
    labels: zod.array(zod.strictObject({ label: zod.string().nullable(), samples: count, rows: count })),
    settings: zod.strictObject({ permutations: count, flips: count, seed: count, texts: count }),
  };
}
