import { schema } from "../../../core/schema.ts";
import { benjaminiHochberg } from "../../statistics/benjamini-hochberg.ts";
import type { DivergenceTest } from "../../statistics/randomization/rotation-test.ts";
import type { GroupCounts } from "./group-counts.ts";
import { chunked } from "./group-usage.ts";

/** Usage along the text: the groups are ordered. */
export interface Drift {
  readonly groups: readonly DriftGroup[];
  /** Mutual information of (expert, group) over all choices, bits; with what chance brings and its p-value. */
  readonly mutualInformation: number;
  readonly chanceInformation: number;
  readonly pValue: number;
  /** Rows the tests, divergences and this information rest on; see {@link GroupUsage.testedRows}. */
  readonly testedRows: number;
}

export interface DriftGroup {
  /** `prompt`, `generated`, or positions `[from, to)` written `0`, `1-3`, `4-15`, ... */
  readonly name: string;
  readonly rows: number;
  /** Per expert the rows of the group that used it. */
  readonly counts: readonly number[];
  /** Mean routing entropy of the group's rows, nats. */
  readonly entropy: number | null;
  /** Jensen-Shannon divergence of the group's usage from all other groups' usage, nats (at most ln 2). */
  readonly divergence: number;
  readonly chanceDivergence: number;
  readonly pValue: number;
  /** Benjamini-Hochberg over all layers and groups. */
  readonly qValue: number;
}

/** Groups along the text in one layer, all their rows counted, some tested. */
export interface TestedDrift {
  readonly counts: GroupCounts;
  readonly test: DivergenceTest;
  readonly testedRows: number;
}

/** What was found layer by layer, with q-values over all layers. */
export function drifts(layers: readonly (TestedDrift | null)[]): (Drift | null)[] {
  const qValues = chunked(
    benjaminiHochberg(layers.flatMap((layer) => (layer ? [...layer.test.groups.pValues] : []))),
    layers.map((layer) => layer?.counts.names.length ?? 0),
  );
  return layers.map((found, i): Drift | null => {
    if (!found) return null;
    const { names, rows, counts, entropy } = found.counts;
    const { whole, groups } = found.test;
    const experts = counts.length / names.length;
    return {
      groups: names.map((name, g) => ({
        name,
        rows: rows[g]!,
        counts: [...counts.subarray(g * experts, (g + 1) * experts)],
        entropy: entropy[g]!,
        divergence: groups.observed[g]!,
        chanceDivergence: groups.chance[g]!,
        pValue: groups.pValues[g]!,
        qValue: qValues[i]![g]!,
      })),
      mutualInformation: whole.observed[0]!,
      chanceInformation: whole.chance[0]!,
      pValue: whole.pValues[0]!,
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
    testedRows: z.int().nonnegative(),
  });
  return found.nullable();
});
