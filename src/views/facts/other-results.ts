import type { Measure } from "../../analysis/measures/measure.ts";
import { allMeasures, type MeasureName } from "../../analysis/measures/registry.ts";
import type { CaptureAnalysis } from "./analysis.ts";

/** What a measure found that has no view of its own, as a table of figures. */
export interface OtherResult {
  readonly title: string;
  readonly text: string;
  /** How the figures say how sure they are. */
  readonly uncertainty: string;
  /** What the rows are: `layer`, or nothing for one result of the whole capture. */
  readonly by: "layer" | null;
  readonly columns: readonly string[];
  readonly rows: readonly { readonly name: string; readonly figures: readonly (string | null)[] }[];
  /** Whether the result has more than figures; `--json` has all of it. */
  readonly more: boolean;
}

/** The results of the measures that a view does not show otherwise. */
export function otherResults(
  analysis: CaptureAnalysis,
  shown: ReadonlySet<MeasureName>,
): readonly OtherResult[] {
  return allMeasures
    .filter(({ name }) => !shown.has(name as MeasureName))
    .flatMap((measure) => {
      const results = resultsOf(analysis, measure).filter(({ value }) => value !== null);
      return results.length === 0 ? [] : [table(measure, results)];
    });
}

interface Named {
  readonly name: string;
  readonly value: unknown;
}

function resultsOf(analysis: CaptureAnalysis, { scope, name }: Measure): Named[] {
  const of = (where: object) => (where as Record<string, unknown>)[name] ?? null;
  return scope === "layer"
    ? analysis.layers.map((layer) => ({ name: `${layer.layer}`, value: of(layer) }))
    : [{ name: "", value: of(analysis) }];
}

function table({ scope, words }: Measure, results: readonly Named[]): OtherResult {
  const fields = results.map(({ name, value }) => ({ name, fields: fieldsOf(value, words.title) }));
  const columns = [...new Set(fields.flatMap(({ fields }) => Object.keys(fields)))];
  const plain = columns.filter((column) => fields.every(({ fields }) => isFigure(fields[column])));
  return {
    title: words.title,
    text: words.text,
    uncertainty: words.uncertainty,
    by: scope === "layer" ? "layer" : null,
    columns: plain,
    rows: fields.map(({ name, fields }) => ({
      name,
      figures: plain.map((column) => figure(fields[column])),
    })),
    more: plain.length < columns.length,
  };
}

/** A result that is no object is one figure under the measure's title; a list is none. */
function fieldsOf(value: unknown, title: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return { [title]: value };
  return value as Readonly<Record<string, unknown>>;
}

const isFigure = (value: unknown) => typeof value !== "object" || value === null;

function figure(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return typeof value === "number" && !Number.isInteger(value)
    ? `${Number(value.toPrecision(4))}`
    : `${value}`;
}
