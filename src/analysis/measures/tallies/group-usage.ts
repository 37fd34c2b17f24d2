import { schema } from "../../../core/schema.ts";
import { correctedTogether, type Tested } from "../../statistics/randomization/max-t.ts";
import type { Summary } from "../measure.ts";

/**
 * How groups of rows use a layer's experts, and whether that is more than chance. Shares are
 * `counts[group][expert] / rows[group]`. p-values are of a single test; q-values hold for all layers together, see
 * `correctedTogether`.
 */
export interface GroupUsage {
  readonly groups: readonly string[];
  /** Rows of each group. */
  readonly rows: readonly number[];
  /** Texts that have rows of each group. */
  readonly texts: readonly number[];
  /** `[group][expert]`: rows of the group that used the expert. */
  readonly counts: readonly (readonly number[])[];
  /** Mutual information of (expert, group) over all choices, bits. */
  readonly mutualInformation: number;
  /** The same under permutation, on average: the part that means nothing. */
  readonly chanceInformation: number;
  readonly pValue: number;
  /** Corrected for all layers. */
  readonly qValue: number;
  /** Per expert: mutual information of (row used it, group), bits. */
  readonly experts: {
    readonly mutualInformation: readonly number[];
    readonly chanceInformation: readonly number[];
    readonly pValues: readonly number[];
    /** Corrected for all layers and experts. */
    readonly qValues: readonly number[];
  };
  /** `[group][expert]`: how often chance gives a group as much more of the expert than the other rows. */
  readonly shares: {
    readonly pValues: readonly (readonly number[])[];
    /** Corrected for all layers, experts and groups. */
    readonly qValues: readonly (readonly number[])[];
    /**
     * Share of the group less that of the other rows they are compared with: of other labels at the same positions, or
     * of other tokens of the same texts.
     */
    readonly differences: readonly (readonly number[])[];
    /** 95 % intervals reach so far to both sides of `differences`; `null` where there are too few texts. */
    readonly halfWidths: readonly (readonly (number | null)[])[];
  };
  /** The least q-value that any share could have with so many texts. Above 0.05 no result is possible. */
  readonly leastQ: number;
  /** Rows that are compared; the counts are of all. */
  readonly testedRows: number;
}

/** Groups of rows in one layer, all their rows counted. */
export interface TestedUsage {
  readonly names: readonly string[];
  readonly rows: Float64Array;
  readonly texts: readonly number[];
  /** `[groups, experts]`. */
  readonly counts: Float64Array;
  readonly information: number;
  readonly chanceInformation: number;
  readonly expertInformation: Float64Array;
  readonly chanceExpertInformation: Float64Array;
  readonly layer: Tested;
  readonly experts: Tested;
  readonly shares: Tested;
  /** `[groups, experts]`. */
  readonly differences: Float64Array;
  readonly halfWidths: Float64Array;
  readonly leastQ: number;
  readonly testedRows: number;
}

/** What was found layer by layer, with q-values over all layers. */
export function groupUsages(layers: readonly (TestedUsage | null)[]): (GroupUsage | null)[] {
  const having = layers.filter((layer) => layer !== null);
  const layerQ = correctedTogether(having.map(({ layer }) => layer));
  const expertQ = correctedTogether(having.map(({ experts }) => experts));
  const shareQ = correctedTogether(having.map(({ shares }) => shares));
  return layers.map((found): GroupUsage | null => {
    if (!found) return null;
    const i = having.indexOf(found);
    const { names, rows, counts, experts, shares } = found;
    const byGroup = (values: Float64Array) =>
      chunked(
        values,
        names.map(() => experts.observed.length),
      );
    return {
      groups: names,
      rows: [...rows],
      texts: found.texts,
      counts: byGroup(counts),
      mutualInformation: found.information,
      chanceInformation: found.chanceInformation,
      pValue: found.layer.pValues[0]!,
      qValue: layerQ[i]![0]!,
      experts: {
        mutualInformation: [...found.expertInformation],
        chanceInformation: [...found.chanceExpertInformation],
        pValues: [...experts.pValues],
        qValues: [...expertQ[i]!],
      },
      shares: {
        pValues: byGroup(shares.pValues),
        qValues: byGroup(shareQ[i]!),
        differences: byGroup(found.differences),
        halfWidths: byGroup(found.halfWidths).map((of) =>
          of.map((half) => (Number.isFinite(half) ? half : null)),
        ),
      },
      leastQ: found.leastQ,
      testedRows: found.testedRows,
    };
  });
}

/** Values in pieces of the given lengths. */
function chunked(values: Float64Array, lengths: readonly number[]): number[][] {
  let at = 0;
  return lengths.map((length) => {
    at += length;
    return [...values.subarray(at - length, at)];
  });
}

export const groupUsageSchema = schema((z) => {
  const numbers = z.array(z.number());
  const found = z.strictObject({
    groups: z.array(z.string()),
    rows: numbers.meta({ description: "by group" }),
    texts: numbers.meta({ description: "by group: texts that have rows of it" }),
    counts: z.array(numbers).meta({ description: "[group][expert]: rows of the group that used the expert" }),
    mutualInformation: z.number().meta({ description: "of (expert, group) over all choices, bits" }),
    chanceInformation: z.number().meta({ description: "the same under permutation, on average" }),
    pValue: z.number(),
    qValue: z.number().meta({ description: "corrected for all layers" }),
    experts: z
      .strictObject({
        mutualInformation: numbers,
        chanceInformation: numbers,
        pValues: numbers,
        qValues: numbers,
      })
      .meta({ description: "by expert: of (row used it, group), bits" }),
    shares: z
      .strictObject({
        pValues: z.array(numbers),
        qValues: z.array(numbers),
        differences: z
          .array(numbers)
          .meta({ description: "share less that of the rows it is compared with" }),
        halfWidths: z
          .array(z.array(z.number().nullable()))
          .meta({ description: "95 % intervals: difference ± this; null with too few texts" }),
      })
      .meta({
        description: "[group][expert]: how often chance gives a share as much higher than other rows'",
      }),
    leastQ: z.number().meta({ description: "the least q-value that so many texts allow" }),
    testedRows: z.int().nonnegative().meta({ description: "rows that are compared" }),
  });
  return found.nullable();
});

/** What counts as a finding. */
const ALPHA = 0.05;

/** How many experts serve each group more than the other rows do, and whether the layer as a whole tells groups apart. */
export const groupUsageSummary: Summary<GroupUsage | null> = {
  of: (found) => {
    if (!found) return null;
    const {
      groups,
      rows,
      texts,
      mutualInformation,
      chanceInformation,
      pValue,
      qValue,
      shares,
      leastQ,
      testedRows,
    } = found;
    const specialized = groups.map(
      (_, g) => shares.qValues[g]!.filter((q, e) => q <= ALPHA && shares.differences[g]![e]! > 0).length,
    );
    return {
      ...{ groups, rows, texts, specialized, mutualInformation, chanceInformation, pValue, qValue, leastQ },
      testedRows,
    };
  },
  schema: schema((z) => {
    const numbers = z.array(z.number());
    const found = z.strictObject({
      groups: z.array(z.string()),
      rows: numbers.meta({ description: "by group" }),
      texts: numbers.meta({ description: "by group: texts that have rows of it" }),
      specialized: numbers.meta({ description: "by group: experts that serve it more, q at most 0.05" }),
      mutualInformation: z.number().meta({ description: "of (expert, group) over all choices, bits" }),
      chanceInformation: z.number().meta({ description: "the same under permutation, on average" }),
      pValue: z.number(),
      qValue: z.number().meta({ description: "corrected for all layers" }),
      leastQ: z.number().meta({ description: "the least q-value that so many texts allow" }),
      testedRows: z.int().nonnegative(),
    });
    return found.nullable();
  }),
};
