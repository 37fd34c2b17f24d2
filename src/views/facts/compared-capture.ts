import type { Capture } from "../../capture/capture.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { engineFacts, modelFacts } from "./model.ts";

/** What was compared: a capture, by what it is of. */
export const comparedCapture = schema((z) =>
  z.strictObject({
    model: modelFacts(),
    engine: engineFacts(),
    rows: z.int().nonnegative(),
    complete: z.boolean(),
  }),
);

export const sideOf = ({ model, engine, rows, complete }: Capture): Parsed<typeof comparedCapture> => ({
  model,
  engine: { kind: engine.kind, version: engine.version },
  rows: rows.length,
  complete,
});

/** How an expert's use differs between A and B. */
export const shift = schema((z) =>
  z.strictObject({
    expert: z.int().nonnegative(),
    shareA: z.number().meta({ description: "part of A's rows that used it" }),
    shareB: z.number(),
    difference: z.number().meta({ description: "shareB - shareA" }),
    matchedDifference: z
      .number()
      .meta({ description: "the same at positions that both have; what is tested" }),
    halfWidth: z.number().nullable().meta({ description: "95 % interval: matchedDifference ± this" }),
    pValue: z.number().meta({ description: "two-sided" }),
    qValue: z.number().meta({ description: "corrected for all layers and experts (max-T)" }),
  }),
);
