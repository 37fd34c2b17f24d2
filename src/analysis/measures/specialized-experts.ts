import { schema } from "../../core/schema.ts";
import type { DerivedMeasure } from "./measure.ts";
import type { GroupUsage } from "./tallies/group-usage.ts";

/** An expert that serves a label beyond chance and beyond its fair share. */
export interface SpecializedExpert {
  readonly layer: number;
  readonly expert: number;
  readonly label: string;
  readonly count: number;
  /** Part of the label's rows that used it. */
  readonly share: number;
  readonly timesFair: number;
  readonly pValue: number;
  readonly qValue: number;
}

export const farthestFirst = (a: SpecializedExpert, b: SpecializedExpert): number =>
  b.timesFair - a.timesFair || a.layer - b.layer || a.expert - b.expert;

/** Accepted part of false ones among them. */
const ALPHA = 0.05;

/** The (layer, expert, label) above the fair share and beyond chance, the farthest above first. */
export const specializedExperts: DerivedMeasure<"specializedExperts", readonly SpecializedExpert[]> = {
  name: "specializedExperts",
  scope: "derived",
  cost: "count",
  from: ["specialization"],
  derive: (layers, { experts, topK }) =>
    layers
      .flatMap(({ layer, results }) => {
        const found = results.specialization as GroupUsage | null;
        return (found?.groups ?? []).flatMap((label, group) =>
          found!.counts[group]!.map((count, expert): SpecializedExpert => {
            const share = count / found!.rows[group]!;
            return {
              layer,
              expert,
              label,
              count,
              share,
              timesFair: share / (topK / experts),
              pValue: found!.shares.pValues[group]![expert]!,
              qValue: found!.shares.qValues[group]![expert]!,
            };
          }),
        );
      })
      .filter(({ timesFair, qValue }) => timesFair > 1 && qValue <= ALPHA)
      .sort(farthestFirst),
  schema: schema((z) => {
    const count = z.int().nonnegative();
    return z.array(
      z.strictObject({
        layer: count,
        expert: count,
        label: z.string(),
        count: z.number().meta({ description: "rows of the label that used it" }),
        share: z.number().meta({ description: "of the label's rows" }),
        timesFair: z.number(),
        pValue: z.number(),
        qValue: z.number(),
      }),
    );
  }),
  words: {
    title: "Specialized experts",
    text: "Experts that serve a label more than their fair share and more than chance explains.",
    uncertainty: "listed at a false discovery rate of 5 %",
    terms: {},
  },
};
