import { schema } from "../../../core/schema.ts";
import { benjaminiHochberg } from "../../statistics/benjamini-hochberg.ts";
import type { LayerTest } from "../../statistics/randomization/permutation-test.ts";

/**
 * How groups of rows use a layer's experts, and whether that is more than chance. Shares are
 * `counts[group][expert] / rows[group]`.
 */
export interface GroupUsage {
  readonly groups: readonly string[];
  /** Rows of each group. */
  readonly rows: readonly number[];
  /** `[group][expert]`: rows of the group that used the expert. */
  readonly counts: readonly (readonly number[])[];
  /** Mutual information of (expert, group) over all choices, bits. */
  readonly mutualInformation: number;
  /** The same under permutation, on average: the part that means nothing. */
  readonly chanceInformation: number;
  readonly pValue: number;
  /** Per expert: mutual information of (row used it, group), bits. */
  readonly experts: {
    readonly mutualInformation: readonly number[];
    readonly chanceInformation: readonly number[];
    readonly pValues: readonly number[];
    /** Benjamini-Hochberg over all layers and experts. */
    readonly qValues: readonly number[];
  };
  /** `[group][expert]`: how often chance gives a share as high or higher. */
  readonly shares: {
    readonly pValues: readonly (readonly number[])[];
    /** Benjamini-Hochberg over all layers, experts and groups. */
    readonly qValues: readonly (readonly number[])[];
  };
  /** Rows that information and p-values rest on: of large captures some samples, where the counts are of all. */
  readonly testedRows: number;
}

/** Groups of rows in one layer, all their rows counted, some tested. */
export interface TestedUsage {
  readonly names: readonly string[];
  readonly rows: Float64Array;
  /** `[groups, experts]`. */
  readonly counts: Float64Array;
  readonly test: LayerTest;
  readonly testedRows: number;
}

/** What was found layer by layer, with q-values over all layers. */
export function groupUsages(layers: readonly (TestedUsage | null)[]): (GroupUsage | null)[] {
  const qValues = (of: (test: LayerTest) => Float64Array) =>
    chunked(
      benjaminiHochberg(layers.flatMap((layer) => (layer ? [...of(layer.test)] : []))),
      layers.map((layer) => (layer ? of(layer.test).length : 0)),
    );
  const expertQ = qValues(({ experts }) => experts.pValues);
  const shareQ = qValues(({ shares }) => shares.pValues);
  return layers.map((found, i): GroupUsage | null => {
    if (!found) return null;
    const { names, rows, counts, testedRows } = found;
    const { layer, experts, shares } = found.test;
    const byGroup = (values: Float64Array) =>
      chunked(
        values,
        names.map(() => experts.observed.length),
      );
    return {
      groups: names,
      rows: [...rows],
      counts: byGroup(counts),
      mutualInformation: layer.observed[0]!,
      chanceInformation: layer.chance[0]!,
      pValue: layer.pValues[0]!,
      experts: {
        mutualInformation: [...experts.observed],
        chanceInformation: [...experts.chance],
        pValues: [...experts.pValues],
        qValues: expertQ[i]!,
      },
      shares: { pValues: byGroup(shares.pValues), qValues: byGroup(Float64Array.from(shareQ[i]!)) },
      testedRows,
    };
  });
}

/** Values in pieces of the given lengths. */
export function chunked(values: Float64Array, lengths: readonly number[]): number[][] {
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
    counts: z.array(numbers).meta({ description: "[group][expert]: rows of the group that used the expert" }),
    mutualInformation: z.number().meta({ description: "of (expert, group) over all choices, bits" }),
    chanceInformation: z.number().meta({ description: "the same under permutation, on average" }),
    pValue: z.number(),
    experts: z
      .strictObject({
        mutualInformation: numbers,
        chanceInformation: numbers,
        pValues: numbers,
        qValues: numbers,
      })
      .meta({ description: "by expert: of (row used it, group), bits" }),
    shares: z
      .strictObject({ pValues: z.array(numbers), qValues: z.array(numbers) })
      .meta({ description: "[group][expert]: how often chance gives a share as high or higher" }),
    testedRows: z.int().nonnegative(),
  });
  return found.nullable();
});
