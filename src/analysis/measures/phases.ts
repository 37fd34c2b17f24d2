import type { LayerMeasure } from "./measure.ts";
import { type Drift, driftSchema, driftSummary, drifts, type TestedDrift } from "./tallies/drift.ts";
import { type WithinText, withinText } from "./tallies/within-text.ts";

/** Usage by phase, prompt against generated; compared within texts. */
export const phases: LayerMeasure<"phases", Drift | null, WithinText, TestedDrift | null> = {
  name: "phases",
  scope: "layer",
  cost: "test",
  keeps: withinText,
  layer: ({ phases: of }) => of,
  across: drifts,
  summary: driftSummary,
  schema: driftSchema,
  words: {
    title: "Prompt and generated text",
    text: "Whether the use of experts differs between prompts and what was generated, which also differs in content and comes last.",
    uncertainty: "p-values from flipping each text's differences, q-values over all layers and groups",
    terms: {},
  },
};
