import { schema } from "../../core/schema.ts";
import type { DerivedMeasure } from "./measure.ts";
import type { GroupUsage } from "./tallies/group-usage.ts";

/** An expert that serves a label more than the other labels, beyond chance. Its share may be below the fair one. */
export interface SpecializedExpert {
  readonly layer: number;
  readonly expert: number;
  readonly label: string;
  readonly count: number;
  /** Part of the label's rows that used it. */
  readonly share: number;
  readonly timesFair: number;
  /** Share of the label less that of all other labels, at the same positions. */
  readonly difference: number;
  /** Its 95 % interval reaches so far to both sides. */
  readonly halfWidth: number | null;
  readonly pValue: number;
  readonly qValue: number;
}

export const farthestFirst = (a: SpecializedExpert, b: SpecializedExpert): number =>
  b.difference - a.difference || a.layer - b.layer || a.expert - b.expert;

const specializedExpert = schema((z) => {
  const count = z.int().nonnegative();
  return z.strictObject({
    layer: count,
    expert: count,
    label: z.string(),
    count: z.number().meta({ description: "rows of the label that used it" }),
    share: z.number().meta({ description: "of the label's rows" }),
    timesFair: z.number(),
    difference: z
      .number()
      .meta({ description: "share less that of the other labels, at the same positions" }),
    halfWidth: z.number().nullable().meta({ description: "95 % interval: difference ± this" }),
    pValue: z.number(),
    qValue: z.number(),
  });
});

/** Experts in a summary. */
const FIRST = 100;

/** Accepted chance that any of them is false. */
const ALPHA = 0.05;

/** The (layer, expert, label) above the other labels beyond chance, the farthest above first. */
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
              difference: found!.shares.differences[group]![expert]!,
              halfWidth: found!.shares.halfWidths[group]![expert]!,
              pValue: found!.shares.pValues[group]![expert]!,
              qValue: found!.shares.qValues[group]![expert]!,
            };
          }),
        );
      })
      .filter(({ difference, qValue }) => difference > 0 && qValue <= ALPHA)
      .sort(farthestFirst),
  schema: schema((z) => z.array(specializedExpert())),
  summary: {
    of: (found) => ({ found: found.length, first: found.slice(0, FIRST) }),
    schema: schema((z) => z.strictObject({ found: z.number(), first: z.array(specializedExpert()) })),
  },
  words: {
    title: "Specialized experts",
    text: "Experts that serve a label more than the other labels, and more than chance explains.",
    uncertainty: "listed where q ≤ 0.05: a chance of 5 % that any of them is false",
    terms: {},
  },
};
