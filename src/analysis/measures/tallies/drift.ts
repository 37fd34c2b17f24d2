import { schema } from "../../../core/schema.ts";
import { correctedTogether } from "../../statistics/randomization/max-t.ts";
import type { Summary } from "../measure.ts";
import type { TestedGroups } from "./within-text.ts";

/** Usage along the text: the groups are ordered. */
export interface Drift {
  readonly groups: readonly DriftGroup[];
  /** Mutual information of (expert, group) over all choices, bits; with what chance brings and its p-value. */
  readonly mutualInformation: number;
  readonly chanceInformation: number;
  readonly pValue: number;
  /** Corrected for all layers. */
  readonly qValue: number;
  /** The least q-value that so many texts allow. Above 0.05 no result is possible. */
  readonly leastQ: number;
  readonly testedRows: number;
}

/** One part of the texts (a phase, or a range of positions), and how its usage differs from that of the others. */
export interface DriftGroup {
  /** `prompt`, `generated`, or positions `[from, to)` written `0`, `1-3`, `4-15`, ... */
  readonly name: string;
  readonly rows: number;
  /** Texts that have rows of it. */
  readonly texts: number;
  /** Per expert the rows of the group that used it. */
  readonly counts: readonly number[];
  /** Mean routing entropy of the group's rows, nats. */
  readonly entropy: number | null;
  /** Jensen-Shannon divergence of the group's usage from all other groups' usage, nats (at most ln 2). */
  readonly divergence: number;
  readonly chanceDivergence: number;
  /** Of the squared differences from the other rows of the same texts, see `testGroupings`. */
  readonly pValue: number;
  /** Corrected for all layers and groups. */
  readonly qValue: number;
}

/** Groups along the text in one layer, as they were tested. */
export type TestedDrift = TestedGroups;

/** What was found layer by layer, with q-values over all layers. */
export function drifts(layers: readonly (TestedDrift | null)[]): (Drift | null)[] {
  const having = layers.filter((layer) => layer !== null);
  const wholeQ = correctedTogether(having.map(({ test }) => test.layer));
  const groupQ = correctedTogether(having.map(({ test }) => test.groups));
  return layers.map((found): Drift | null => {
    if (!found) return null;
    const i = having.indexOf(found);
    const { counts: of, test, texts } = found;
    const { names, rows, counts, entropy } = of;
    const experts = counts.length / names.length;
    return {
      groups: names.map((name, g) => ({
        name,
        rows: rows[g]!,
        texts: texts[g]!,
        counts: [...counts.subarray(g * experts, (g + 1) * experts)],
        entropy: entropy[g]!,
        divergence: test.divergence[g]!,
        chanceDivergence: test.chanceDivergence[g]!,
        pValue: test.groups.pValues[g]!,
        qValue: groupQ[i]![g]!,
      })),
      mutualInformation: test.information,
      chanceInformation: test.chanceInformation,
      pValue: test.layer.pValues[0]!,
      qValue: wholeQ[i]![0]!,
      leastQ: found.leastP,
      testedRows: found.testedRows,
    };
  });
}

export const driftSchema = schema((z) => {
  const found = z.strictObject({
    groups: z.array(
      z.strictObject({
        name: z.string(),
        rows: z.number(),
        texts: z.number().meta({ description: "that have rows of it" }),
        counts: z.array(z.number()).meta({ description: "by expert" }),
        entropy: z.number().nullable().meta({ description: "mean routing entropy, nats" }),
        divergence: z
          .number()
          .meta({ description: "Jensen-Shannon divergence from all other groups' usage, nats" }),
        chanceDivergence: z.number(),
        pValue: z.number(),
        qValue: z.number(),
      }),
    ),
    mutualInformation: z.number().meta({ description: "of (expert, group) over all choices, bits" }),
    chanceInformation: z.number(),
    pValue: z.number(),
    qValue: z.number().meta({ description: "corrected for all layers" }),
    leastQ: z.number().meta({ description: "the least q-value that so many texts allow" }),
    testedRows: z.int().nonnegative(),
  });
  return found.nullable();
});

/** Without the counts by expert. */
export const driftSummary: Summary<Drift | null> = {
  of: (found) => found && { ...found, groups: found.groups.map(({ counts: _, ...of }) => of) },
  schema: schema((z) => {
    const found = driftSchema().unwrap();
    return z
      .strictObject({ ...found.shape, groups: z.array(found.shape.groups.element.omit({ counts: true })) })
      .nullable();
  }),
};
