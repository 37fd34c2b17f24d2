import type { CaptureAnalysis } from "../../analysis/capture-analysis.ts";
import type { Measure } from "../../analysis/measures/measure.ts";
import { allMeasures } from "../../analysis/measures/registry.ts";
import { schema } from "../../core/schema.ts";
import { analysisHead } from "./analysis.ts";

const FORMAT = "moescope.analysis-summary/1";

/** What `analyze --json` prints: each measure's summary, some kilobytes a layer however many experts it has. */
export const summaryFacts = schema((z) => {
  const count = z.int().nonnegative();
  const layer = z.strictObject({ layer: count, rows: count, ...schemasOf("layer") });
  return z.strictObject({
    ...analysisHead(z),
    format: z.literal(FORMAT),
    layers: z.array(layer),
    ...schemasOf("capture"),
  });
});

/** An analysis in short; the measures' results are by their names as in the analysis. */
export function analysisSummary(analysis: CaptureAnalysis): Readonly<Record<string, unknown>> {
  return {
    ...shortened(analysis, "capture"),
    format: FORMAT,
    layers: analysis.layers.map((layer) => shortened(layer, "layer")),
  };
}

type Where = "layer" | "capture";
const measuresOf = (where: Where) =>
  allMeasures.filter(({ scope }) => (scope === "layer") === (where === "layer"));

function shortened(results: object, where: Where): Record<string, unknown> {
  const short: Record<string, unknown> = { ...results };
  for (const measure of measuresOf(where)) short[measure.name] = inShort(measure, short[measure.name]);
  return short;
}

const inShort = ({ summary, overview }: Measure, result: unknown): unknown =>
  summary ? summary.of(result as never) : overview ? overview(result as never) : result;

const schemasOf = (where: Where) =>
  Object.fromEntries(
    measuresOf(where).map(({ name, summary, overview, schema: whole, words }) => {
      const of = (summary ? summary.schema() : whole()).meta({ description: words.text });
      return [name, overview && !summary ? of.nullable() : of];
    }),
  );
