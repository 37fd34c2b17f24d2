import { schema } from "../../core/schema.ts";
import type { LabelScores } from "./label-scores.ts";
import type { DerivedMeasure } from "./measure.ts";

/** An expert by its scores for a label; see `labelScores`. */
export interface ScoredExpert {
  readonly layer: number;
  readonly expert: number;
  readonly label: string;
  readonly riskDifference: number;
  /** The 95 % interval reaches so far to both sides; `null` with too few texts. */
  readonly riskHalfWidth: number | null;
  readonly npmi: number;
  readonly npmiHalfWidth: number | null;
  /** Part of the resamples of texts with it in front. */
  readonly stability: number;
  readonly esftToken: number;
  readonly esftTokenHalfWidth: number | null;
  readonly esftGate: number | null;
}

/** Listed of each label. */
const PER_LABEL = 20;

/** Of each label the experts of greatest risk difference, whatever its sign, as SteerMoE ranks them. */
export const scoredExperts: DerivedMeasure<"scoredExperts", readonly ScoredExpert[]> = {
  name: "scoredExperts",
  scope: "derived",
  cost: "count",
  from: ["labelScores"],
  derive(layers) {
    const all = layers.flatMap(({ layer, results }) =>
      scoredIn(layer, results.labelScores as LabelScores | null),
    );
    const ranked = all.sort(
      (a, b) =>
        Math.abs(b.riskDifference) - Math.abs(a.riskDifference) || a.layer - b.layer || a.expert - b.expert,
    );
    const listed = new Map<string, number>();
    return ranked.filter(({ label }) => {
      const before = listed.get(label) ?? 0;
      listed.set(label, before + 1);
      return before < PER_LABEL;
    });
  },
  schema: schema((z) => {
    const count = z.int().nonnegative();
    const halfWidth = z.number().nullable().meta({ description: "95 % interval: value ± this" });
    return z.array(
      z.strictObject({
        layer: count,
        expert: count,
        label: z.string(),
        riskDifference: z.number(),
        riskHalfWidth: halfWidth,
        npmi: z.number(),
        npmiHalfWidth: halfWidth,
        stability: z.number(),
        esftToken: z.number(),
        esftTokenHalfWidth: halfWidth,
        esftGate: z.number().nullable(),
      }),
    );
  }),
  words: {
    title: "Experts by the scores of the literature",
    text: "Of each label the experts of greatest risk difference, more or less used than by the other labels.",
    uncertainty:
      "95 % intervals with a text as one observation, of each figure by itself: the list is a choice of the greatest",
    terms: {},
  },
};

function scoredIn(layer: number, found: LabelScores | null): ScoredExpert[] {
  const { riskDifference, npmi, stability, esftToken, esftGate } = found ?? {};
  if (!found || !riskDifference || !npmi || !stability) return [];
  return found.labels.flatMap((label, l) =>
    riskDifference.values[l]!.map((difference, expert) => ({
      layer,
      expert,
      label: label!,
      riskDifference: difference,
      riskHalfWidth: riskDifference.halfWidths[l]![expert]!,
      npmi: npmi.values[l]![expert]!,
      npmiHalfWidth: npmi.halfWidths[l]![expert]!,
      stability: stability[l]![expert]!,
      esftToken: esftToken!.values[l]![expert]!,
      esftTokenHalfWidth: esftToken!.halfWidths[l]![expert]!,
      esftGate: esftGate ? esftGate.values[l]![expert]! : null,
    })),
  );
}
