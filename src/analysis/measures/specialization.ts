import { type LabelledSamples, labelledSamples } from "../rows/label-groups.ts";
import { type LayerTest, testLayer } from "../statistics/randomization/permutation-test.ts";
import type { LayerMeasure, Tally } from "./measure.ts";
import { type GroupUsage, groupUsageSchema, groupUsages, type TestedUsage } from "./tallies/group-usage.ts";
import { addSampleRows, type SampleCounts, sampleUnits, startSampleCounts } from "./tallies/sample-counts.ts";

interface TestedLabels extends Pick<LabelledSamples, "labels"> {
  readonly test: LayerTest;
}

/** Counts by sample, and the test that permutes their labels. Nothing with fewer than two labels. */
const byLabel: Tally<SampleCounts, LabelledSamples, TestedLabels> = {
  needs: ["chosen"],
  prepare: ({ sample }, { samples }) => labelledSamples(samples, sample),
  start: (of) => (of.ahead.labels.length < 2 ? null : startSampleCounts(of)),
  take: addSampleRows,
  find(state, { ahead: { labels, labelOfSample }, experts, settings: { permutations, seed } }) {
    const units = sampleUnits(state, labelOfSample);
    return { labels, test: testLayer(units, labels.length, experts, permutations, seed) };
  },
};

/** Which experts serve which label; labels permuted between samples. */
export const specialization: LayerMeasure<"specialization", GroupUsage | null, TestedLabels, TestedUsage> = {
  name: "specialization",
  scope: "layer",
  cost: "test",
  keeps: byLabel,
  layer: ({ labels, test }) => ({
    names: labels,
    rows: test.rows,
    counts: test.counts,
    test,
    testedRows: test.rows.reduce((sum, n) => sum + n, 0),
  }),
  across: groupUsages,
  schema: groupUsageSchema,
  words: {
    title: "Specialization",
    text: "Which experts serve which label, and whether that is more than chance.",
    uncertainty:
      "p-values from labels permuted between texts, q-values over all layers, experts and labels; no intervals",
    terms: {
      share: {
        title: "Share of a label",
        text: "Of the tokens in samples with this label, the part that used the expert.",
        formula: "tokens of the label that used it / tokens of the label",
      },
      information: {
        title: "Mutual information",
        unit: "bits",
        text: "How much knowing that a token used this expert tells about its label. What shuffled labels give by chance is shown beside it.",
        formula: "I(expert; label)",
      },
      qValue: {
        title: "p and q",
        text: "The p-value says how often as much comes by chance, from labels permuted between texts, or classes and positions rotated within them. The q-value is p corrected for the number of tests; q ≤ 0.05 counts as more than chance.",
        formula: "permutation test, Benjamini-Hochberg",
        source: "Benjamini and Hochberg, J. R. Stat. Soc. B 57, 1995",
      },
    },
  },
};
