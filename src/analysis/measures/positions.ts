import type { LayerMeasure } from "./measure.ts";
import { type Drift, driftSchema, driftSummary, drifts, type TestedDrift } from "./tallies/drift.ts";
import { type WithinText, withinText } from "./tallies/within-text.ts";

/** Usage by position in the text; compared within texts. */
export const positions: LayerMeasure<"positions", Drift | null, WithinText, TestedDrift | null> = {
  name: "positions",
  scope: "layer",
  cost: "test",
  keeps: withinText,
  layer: ({ positions: of }) => of,
  across: drifts,
  summary: driftSummary,
  schema: driftSchema,
  words: {
    title: "Drift along the text",
    text: "Whether the use of experts changes with the position in the text.",
    uncertainty: "p-values from flipping each text's differences, q-values over all layers and groups",
    terms: {
      drift: {
        title: "Divergence of a part",
        unit: "nats",
        text: "How far the use of experts in a part of the texts is from their use in all other tokens: 0 is the same use, ln 2 shares no expert. Few tokens alone give some.",
        formula: "Jensen-Shannon divergence of the two usages",
        source: "Lin, IEEE Trans. Inf. Theory 37, 1991",
      },
    },
  },
};
