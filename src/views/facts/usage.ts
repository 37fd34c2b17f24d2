import type { ExpertUsage } from "../../analysis/expert-usage.ts";
import type { UsageCounts } from "../../analysis/measures/tallies/expert-counts.ts";
import { loadBalance } from "../../analysis/statistics/balance.ts";
import { underusedExperts } from "../../analysis/underused-experts.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { finite } from "./finite.ts";

const figures = schema((z) => {
  const number = z.number().nullable().meta({ description: "null without rows" });
  return z.strictObject({ cv: number, maxVio: number, entropy: number });
});

const counted = schema((z) =>
  z.strictObject({
    rows: z.number().nonnegative(),
    counts: z.array(z.number()).meta({ description: "by expert, the rows that used it" }),
    weights: z.array(z.number()).nullable().meta({ description: "by expert, the sum of its weights" }),
    balance: figures(),
  }),
);

/** Usage of every expert, layers x experts: in `capture --json`, and what the server answers. */
export const usageFacts = schema((z) => {
  const count = z.int().nonnegative();
  return z
    .strictObject({
      experts: count,
      topK: count,
      fairShare: z.number().meta({ description: "topK / experts" }),
      layers: z.array(
        z.strictObject({
          layer: count,
          ...counted().shape,
          byLabel: z
            .array(z.strictObject({ label: z.string().nullable(), ...counted().shape }))
            .nullable()
            .meta({ description: "null where rows were chosen by their label or otherwise" }),
        }),
      ),
    })
    .meta({ id: "Usage" });
});
export type UsageFacts = Parsed<typeof usageFacts>;

/** @param byLabel whether each label is to be told by itself. */
export function usageOf(usage: ExpertUsage, { byLabel }: { readonly byLabel: boolean }): UsageFacts {
  const { experts, topK, fairShare, layers } = usage;
  return {
    experts,
    topK,
    fairShare,
    layers: [...layers].map(([layer, of]) => ({
      layer,
      ...countsOf(of),
      byLabel: byLabel ? [...of.byLabel].map(([label, counts]) => ({ label, ...countsOf(counts) })) : null,
    })),
  };
}

const countsOf = ({ rows, counts, weights }: UsageCounts) => ({
  rows,
  counts: [...counts],
  weights: weights && [...weights],
  balance: balanceOf(counts),
});

function balanceOf(counts: Float64Array): Parsed<typeof figures> {
  const { cv, maxVio, entropy } = loadBalance(counts);
  return { cv: finite(cv), maxVio: finite(maxVio), entropy: finite(entropy) };
}

/** How evenly each layer's load is spread, and who is underused: what the server answers. */
export const balanceFacts = schema((z) => {
  const count = z.int().nonnegative();
  return z
    .strictObject({
      experts: count,
      topK: count,
      fairShare: z.number(),
      layers: z.array(
        z.strictObject({
          layer: count,
          rows: count,
          ...figures().shape,
          sorted: z.array(count).meta({ description: "experts, busiest first" }),
          shares: z.array(z.number()).meta({ description: "by expert, part of the rows it served" }),
          underused: z.array(
            z.strictObject({
              expert: count,
              count,
              share: z.number(),
              interval: z.tuple([z.number(), z.number()]),
              significant: z.boolean().meta({ description: "the whole interval lies below the threshold" }),
            }),
          ),
        }),
      ),
    })
    .meta({ id: "Balance" });
});
export type BalanceFacts = Parsed<typeof balanceFacts>;

export const balancesOf = ({ experts, topK, fairShare, layers }: ExpertUsage): BalanceFacts => ({
  experts,
  topK,
  fairShare,
  layers: [...layers].map(([layer, { rows, counts, ...rest }]) => ({
    layer,
    rows,
    ...balanceOf(counts),
    sorted: Array.from(counts, (_, expert) => expert).sort((a, b) => counts[b]! - counts[a]! || a - b),
    shares: Array.from(counts, (count) => (rows === 0 ? 0 : count / rows)),
    underused: underusedExperts({ rows, counts, ...rest }).map((of) => ({
      ...of,
      interval: [...of.interval],
    })),
  })),
});
