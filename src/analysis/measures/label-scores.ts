import { schema } from "../../core/schema.ts";
import { expertsReaching, meansByText, npmi, type Scores } from "../statistics/label-scores.ts";
import { testLabels } from "../statistics/randomization/label-test.ts";
import type { MatchedUnits } from "../statistics/randomization/matched-units.ts";
import { resampledDifferences, stabilities } from "../statistics/stability.ts";
import type { LayerMeasure } from "./measure.ts";
import { type ScoredGroups, type TextMeans, textMeans } from "./tallies/text-means.ts";

/** A score of each label and expert with the half width of its 95 % interval, `[label][expert]`. */
export interface ScoreTable {
  readonly values: readonly (readonly number[])[];
  /** `null` with too few texts. */
  readonly halfWidths: readonly (readonly (number | null)[])[];
}

/** What the literature scores experts by, with a text as one observation. */
export interface LabelScores {
  /** `null`: no text has a label, and all are one group. */
  readonly labels: readonly (string | null)[];
  readonly texts: readonly number[];
  /** The share of the label's rows less that of all others; `null` with one label. */
  readonly riskDifference: ScoreTable | null;
  /** Normalised pointwise mutual information, -1 to 1; `null` with one label. */
  readonly npmi: ScoreTable | null;
  /** Part of the resamples of texts in which it is among the model's most different, `[label][expert]`. */
  readonly stability: readonly (readonly number[])[] | null;
  /** So many of the model's experts are taken in each resample. */
  readonly stabilityTop: number;
  /** Mean over texts of the part of a text's choices that fell on the expert. */
  readonly esftToken: ScoreTable;
  /** Mean over texts of the expert's mean mixing weight; `null` where weights were not captured. */
  readonly esftGate: ScoreTable | null;
  /** By label the experts that ESFT would train: of most token score, together a fifth of it. */
  readonly esftExperts: readonly (readonly number[])[];
}

/** ESFT's p for the token score. */
const ESFT_PART = 0.2;
/** Taken in each resample: one of a hundred experts, and ten at the least. */
const topOf = (experts: number) => Math.min(experts, Math.max(10, Math.ceil(experts / 100)));

interface Part {
  readonly found: Omit<LabelScores, "stability" | "stabilityTop">;
  readonly differences: Float32Array | null;
  readonly experts: number;
}

/** Scores of experts by label, as papers on steering and tuning experts use them. */
export const labelScores: LayerMeasure<"labelScores", LabelScores | null, TextMeans, Part, ScoredGroups> = {
  name: "labelScores",
  scope: "layer",
  cost: "test",
  keeps: textMeans,

  layer(state, { settings: { seed } }) {
    const { groups, experts, rows, texts, counts, ratios, gates } = state;
    const { names, groupOf } = groups;
    const table = ({ values, halfWidths }: Scores): ScoreTable => ({
      values: byLabel(values, experts),
      halfWidths: byLabel(halfWidths, experts).map((of) =>
        of.map((half) => (Number.isFinite(half) ? half : null)),
      ),
    });
    const means = (sums: Float64Array) => meansByText(sums, texts, groupOf, names.length, experts);
    const several = names.length > 1;
    const tokens = means(ratios);
    const differences = several ? riskDifferences(state) : null;
    return {
      found: {
        labels: names,
        texts: names.map((_, g) => texts.reduce((sum, n, unit) => sum + (groupOf[unit] === g ? n : 0), 0)),
        riskDifference: differences && table(differences),
        npmi: several ? table(npmi(counts, groupOf, names.length, experts)) : null,
        esftToken: table(tokens),
        esftGate: state.weighted ? table(means(gates)) : null,
        esftExperts: names.map((_, g) =>
          expertsReaching(tokens.values.subarray(g * experts, (g + 1) * experts), ESFT_PART),
        ),
      },
      differences: several ? resampledDifferences(counts, rows, groupOf, names.length, experts, seed) : null,
      experts,
    };
  },

  across(parts) {
    const having = parts.filter((part) => part !== null);
    const top = topOf(having.reduce((sum, { experts }) => sum + experts, 0));
    const resampled = having.flatMap(({ differences }) => differences ?? []);
    const stable = stabilities(resampled, having[0]?.found.labels.length ?? 1, top);
    return parts.map((part) =>
      part === null
        ? null
        : {
            ...part.found,
            stability: part.differences && byLabel(stable[having.indexOf(part)]!, part.experts),
            stabilityTop: top,
          },
    );
  },

  overview: () => null,

  schema: schema((z) => {
    const scores = (description: string) =>
      z
        .strictObject({
          values: z.array(z.array(z.number())),
          halfWidths: z.array(z.array(z.number().nullable())),
        })
        .meta({ description: `[label][expert]: ${description}; 95 % interval: value ± half width` });
    return z
      .strictObject({
        labels: z.array(z.string().nullable()),
        texts: z.array(z.int().nonnegative()).meta({ description: "by label" }),
        riskDifference: scores("share of the label's tokens less that of all others'").nullable(),
        npmi: scores("normalised pointwise mutual information, -1 to 1").nullable(),
        stability: z
          .array(z.array(z.number()))
          .nullable()
          .meta({ description: "[label][expert]: part of the resamples of texts with it in front" }),
        stabilityTop: z.int().positive().meta({ description: "experts of the model in front" }),
        esftToken: scores("mean over texts of its part of a text's choices"),
        esftGate: scores("mean over texts of its mean mixing weight").nullable(),
        esftExperts: z
          .array(z.array(z.int().nonnegative()))
          .meta({ description: "by label: of most token score, together 0.2 of it" }),
      })
      .nullable();
  }),

  words: {
    title: "Scores of the literature",
    text: "How papers on steering and tuning score experts for a label: risk difference, nPMI, ESFT's scores, stability.",
    uncertainty: "95 % intervals with a text as one observation; stability over 100 resamples of the texts",
    terms: {
      riskDifference: {
        title: "Risk difference",
        text: "The part of the label's tokens that used an expert less the part of all other labels' tokens. Positions are not matched: see “difference of a label” for that.",
        formula: "used(label) / tokens(label) − used(others) / tokens(others)",
        source: "SteerMoE: Fayyaz et al., arXiv:2509.09660",
      },
      npmi: {
        title: "nPMI",
        text: "How far an expert and a label occur together beyond chance: 1, only with each other; 0, independently; −1, never.",
        formula: "ln(p(e, l) / (p(e) p(l))) / −ln p(e, l), over all choices",
        source: "Bouma, GSCL 2009",
      },
      esft: {
        title: "ESFT scores",
        text: "What expert-specialized fine-tuning picks experts by. Token score: the mean over texts of an expert's part of the choices. Gate score: the mean over texts of its mean weight. It trains the experts of most score that together reach a part p of it.",
        formula: "mean over texts of Σ used / (k · tokens), or of Σ weight / tokens",
        source: "Wang et al., arXiv:2407.01906, equations 5 to 7",
      },
      stability: {
        title: "Stability",
        text: "In how many resamples of the texts an expert is among those that the label uses most more than others do. What is in front in nearly all does not hang on a few texts.",
        formula: "part of 100 bootstrap resamples, texts drawn within their labels",
        source: "Meinshausen and Bühlmann, J. R. Stat. Soc. B 72, 2010; SAFEx: Lai et al., arXiv:2506.17368",
      },
    },
  },
};

/** Shares of a group less those of all others, with Welch's interval of clusters. */
function riskDifferences({ groups, experts, rows, counts }: TextMeans): Scores {
  const total = rows.reduce((sum, n) => sum + n, 0);
  const shares = new Float64Array(experts);
  for (let i = 0; i < counts.length; i++) shares[i % experts]! += counts[i]! / total;
  const units: MatchedUnits = {
    label: groups.groupOf,
    rows,
    shares,
    // Nothing is expected: what is compared are the shares themselves.
    residuals: (unit, from, to, out) => out.set(counts.subarray(unit * experts + from, unit * experts + to)),
  };
  const { differences, halfWidths } = testLabels(units, groups.names.length, experts, 0, 0);
  return { values: differences, halfWidths };
}

const byLabel = (values: Float64Array, experts: number): number[][] =>
  Array.from({ length: values.length / experts }, (_, g) => [
    ...values.subarray(g * experts, (g + 1) * experts),
  ]);
