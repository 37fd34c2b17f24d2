import type { LabelComparison } from "../../analysis/compare/compare-labels.ts";
import type { Capture } from "../../capture/capture.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { comparedCapture, shift, sideOf } from "./compared-capture.ts";

const FORMAT = "moescope.label-comparison/2";

/** Two labels of a capture: what `compare --labels --json` prints and the terminal shows. */
export const labelComparisonFacts = schema((z) => {
  const count = z.int().nonnegative();
  return z.strictObject({
    format: z.literal(FORMAT),
    capture: comparedCapture(),
    labels: z.tuple([z.string(), z.string()]),
    samples: z.tuple([count, count]).meta({ description: "of each label" }),
    rows: z.tuple([count, count]).meta({ description: "of each label" }),
    matchedRows: count.meta({ description: "at positions that both labels have: what is tested" }),
    leastQ: z.number().meta({ description: "the least q-value that so many texts allow" }),
    layers: z.array(
      z.strictObject({
        layer: count,
        mutualInformation: z.number().meta({ description: "of (expert, label), bits" }),
        chanceInformation: z.number().meta({ description: "the same with permuted labels, on average" }),
        pValue: z.number(),
        qValue: z.number().meta({ description: "corrected for all layers" }),
        experts: z.array(shift()),
      }),
    ),
  });
});
export type LabelComparisonFacts = Parsed<typeof labelComparisonFacts>;

/** @param found what `compareLabels` gave for the capture. */
export const labelComparisonOf = (capture: Capture, found: LabelComparison): LabelComparisonFacts => ({
  format: FORMAT,
  capture: sideOf(capture),
  labels: [...found.labels],
  samples: [...found.samples],
  rows: [...found.rows],
  matchedRows: found.matchedRows,
  leastQ: found.leastQ,
  layers: [...found.layers].map(([layer, { experts, ...of }]) => ({ layer, ...of, experts: [...experts] })),
});
