import type { LayerMeasure } from "./measure.ts";
import { type GroupUsage, groupUsageSchema, groupUsages, type TestedUsage } from "./tallies/group-usage.ts";
import { type WithinText, withinText } from "./tallies/within-text.ts";

/** Experts by class of token; classes rotated within samples. */
export const tokenClasses: LayerMeasure<"tokenClasses", GroupUsage | null, WithinText, TestedUsage | null> = {
  name: "tokenClasses",
  scope: "layer",
  cost: "test",
  keeps: withinText,
  layer: ({ tokenClasses: of }) => of && { ...of.counts, test: of.test, testedRows: of.testedRows },
  across: groupUsages,
  schema: groupUsageSchema,
  words: {
    title: "Token classes",
    text: "Which experts serve which kind of token: words by script, numbers, punctuation, line ends.",
    uncertainty:
      "p-values from classes rotated within texts, q-values over all layers, experts and classes; no intervals",
    terms: {
      tokenClass: {
        title: "Class of token",
        text: "By the Unicode properties of its text: words by script, continuations, numbers, punctuation, line ends. It knows nothing of meaning.",
        source: "Unicode UAX #44",
      },
    },
  },
};
