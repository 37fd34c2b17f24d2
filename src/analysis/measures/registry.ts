import type { z } from "zod";
import * as MEASURES from "./index.ts";
import type { Measure, StreamTally, Tally } from "./measure.ts";

type Measures = typeof MEASURES;

/**
 * The name of a measure: a key of {@link measures}, and of the results of `analyzeCapture`.
 *
 * @useDeclaredType
 */
export type MeasureName = keyof Measures;

/** All measures by name. */
export const measures: Measures = MEASURES;

/** ... in the order of their names. */
export const allMeasures: readonly Measure[] = Object.values(MEASURES);

type ResultOf<M extends Measure> = z.output<ReturnType<M["schema"]>>;

/** The results in each layer, by the measures' names. */
export type LayerResults = {
  readonly [K in MeasureName as Measures[K] extends { readonly scope: "layer" } ? K : never]: ResultOf<
    Measures[K]
  >;
};

/** The results for the capture as a whole, by the measures' names. */
export type CaptureResults = {
  readonly [K in MeasureName as Measures[K] extends { readonly scope: "layer" } ? never : K]: ResultOf<
    Measures[K]
  >;
};

/** Some measures with those they follow from. */
export function withSources(asked: readonly Measure[]): readonly Measure[] {
  const sources = asked.flatMap((measure) => (measure.scope === "derived" ? measure.from : []));
  return allMeasures.filter((measure) => asked.includes(measure) || sources.includes(measure.name));
}

/** The tallies of some measures, each once. */
export function talliesOf(of: readonly Measure[]): (Tally | StreamTally)[] {
  return [
    ...new Set(
      of.flatMap((measure) =>
        measure.scope === "layer" || measure.scope === "capture" ? [measure.keeps] : [],
      ),
    ),
  ];
}
