import type { LayerMeasure } from "./measure.ts";
import {
  type GroupUsage,
  groupUsageSchema,
  groupUsageSummary,
  groupUsages,
  type TestedUsage,
} from "./tallies/group-usage.ts";
import { type WithinText, withinText } from "./tallies/within-text.ts";

/** Experts by class of token, compared within texts. */
export const tokenClasses: LayerMeasure<"tokenClasses", GroupUsage | null, WithinText, TestedUsage | null> = {
  name: "tokenClasses",
  scope: "layer",
  cost: "test",
  keeps: withinText,
  layer: ({ tokenClasses: of }) =>
    of && {
      names: of.counts.names,
      rows: of.counts.rows,
      texts: of.texts,
      counts: of.counts.counts,
      ...of.test,
      differences: of.differences,
      halfWidths: of.halfWidths,
      leastQ: of.leastP,
      testedRows: of.testedRows,
    },
  across: groupUsages,
  summary: groupUsageSummary,
  schema: groupUsageSchema,
  words: {
    title: "Token classes",
    text: "Which experts serve which kind of token: words by script, numbers, punctuation, line ends.",
    uncertainty:
      "p-values from flipping each text's differences between classes, q-values over all layers, experts and classes; 95 % intervals of the differences with a text as one observation",
    terms: {
      tokenClass: {
        title: "Class of token",
        text: "By the Unicode properties of its text: words by script, continuations, numbers, punctuation, line ends. It knows nothing of meaning.",
        source: "Unicode UAX #44",
      },
    },
  },
};
