import { type LabelledSamples, labelledSamples } from "../rows/label-groups.ts";
import { type MatchedPositions, matchedPositions } from "../rows/row-groups.ts";
import { labelInformation } from "../statistics/randomization/label-information.ts";
import { testLabels } from "../statistics/randomization/label-test.ts";
import { leastLabelQ } from "../statistics/randomization/least-q.ts";
import type { LayerMeasure, Tally } from "./measure.ts";
import {
  type GroupUsage,
  groupUsageSchema,
  groupUsageSummary,
  groupUsages,
  type TestedUsage,
} from "./tallies/group-usage.ts";
import {
  addSampleRows,
  matchedSamples,
  type SampleCounts,
  sampleUnits,
  startSampleCounts,
} from "./tallies/sample-counts.ts";

interface Ahead extends LabelledSamples {
  readonly positions: MatchedPositions;
}

/** Counts by sample, and the test that permutes their labels. Nothing with fewer than two labels. */
const byLabel: Tally<SampleCounts, Ahead, TestedUsage> = {
  needs: ["chosen"],
  prepare(columns, { samples }) {
    const labelled = labelledSamples(samples, columns.sample);
    const { labelOfSample, labels } = labelled;
    return { ...labelled, positions: matchedPositions(columns, labelOfSample, labels.length) };
  },
  start: (of) => (of.ahead.labels.length < 2 ? null : startSampleCounts(of, of.ahead.positions)),
  take: (state, chunk, { ahead }) => addSampleRows(state, chunk, ahead.positions),
  find(state, { ahead: { labels, labelOfSample, positions }, experts, settings: { permutations, seed } }) {
    const matched = matchedSamples(state, labelOfSample);
    const units = sampleUnits(state, labelOfSample);
    const {
      counts,
      rows,
      layer,
      experts: of,
    } = labelInformation(units, labels.length, experts, permutations, seed);
    const texts = labels.map((_, l) => units.label.filter((label) => label === l).length);
    return {
      names: labels,
      rows,
      texts,
      counts,
      information: layer.observed,
      chanceInformation: layer.chance,
      expertInformation: of.observed,
      chanceExpertInformation: of.chance,
      ...testLabels(matched, labels.length, experts, permutations, seed),
      leastQ: leastLabelQ(texts, permutations),
      testedRows: positions.rows,
    };
  },
};

/** Which experts serve which label; labels permuted between samples. */
export const specialization: LayerMeasure<"specialization", GroupUsage | null, TestedUsage, TestedUsage> = {
  name: "specialization",
  scope: "layer",
  cost: "test",
  keeps: byLabel,
  layer: (found) => found,
  across: groupUsages,
  summary: groupUsageSummary,
  schema: groupUsageSchema,
  words: {
    title: "Specialization",
    text: "Which experts serve which label, and whether that is more than chance.",
    uncertainty:
      "p-values from labels permuted between texts, compared at the same positions; q-values hold for all layers, experts and labels; 95 % intervals of the differences with a text as one observation",
    terms: {
      share: {
        title: "Share of a label",
        text: "Of the tokens in samples with this label, the part that used the expert.",
        formula: "tokens of the label that used it / tokens of the label",
      },
      difference: {
        title: "Difference of a label",
        text: "The label's share less that of all other labels, at the same positions of their texts: the first tokens of any text are routed in their own way, and texts of unequal length have unequal parts of them.",
        formula: "Σ (used − expected at these positions) / tokens, of the label less of the others",
        source: "indirect standardisation: Breslow and Day, Statistical Methods in Cancer Research II, 1987",
      },
      information: {
        title: "Mutual information",
        unit: "bits",
        text: "How much knowing that a token used this expert tells about its label. What shuffled labels give by chance is shown beside it.",
        formula: "I(expert; label)",
      },
      qValue: {
        title: "p and q",
        text: "The p-value says how often chance alone gives as much in this one test: labels permuted between texts, or each text's differences flipped. The q-value is p corrected for all tests together: the chance that the strongest of them all gets so far by luck. Accepting q ≤ 0.05 leaves a chance of 5 % that any finding is false.",
        formula: "studentised permutation test; single-step max-T",
        source:
          "Chung and Romano, Ann. Statist. 41, 2013; Westfall and Young, Resampling-Based Multiple Testing, 1993",
      },
    },
  },
};
