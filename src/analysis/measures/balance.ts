import { schema } from "../../core/schema.ts";
import { type LoadBalance, loadBalance } from "../statistics/balance.ts";
import type { StreamMeasure } from "./measure.ts";
import { type ExpertCounts, expertCounts, labelCounts, totalCounts } from "./tallies/expert-counts.ts";

/** How evenly a layer's load is spread, over all rows and for each label that has some. */
export interface LayerBalance extends LoadBalance {
  readonly byLabel: readonly LabelBalance[];
}

/** How evenly the experts of a layer are used by the rows of one label. */
export interface LabelBalance extends LoadBalance {
  readonly label: string | null;
}

/** How evenly the experts are used; no result without rows. */
export const balance: StreamMeasure<"balance", LayerBalance | null, ExpertCounts, LayerBalance | null> = {
  name: "balance",
  scope: "layer",
  cost: "count",
  keeps: expertCounts,

  layer(state, { experts }) {
    const byLabel = labelCounts(state).filter(([, { rows }]) => rows > 0);
    if (byLabel.length === 0) return null;
    const all = totalCounts(
      byLabel.map(([, counts]) => counts),
      experts,
    );
    return {
      ...balanceOf(all.counts),
      byLabel: byLabel.map(([label, { counts }]) => ({ label, ...balanceOf(counts) })),
    };
  },

  schema: schema((z) => {
    const figures = {
      cv: z.number().meta({ description: "coefficient of variation of the counts; 0 is even" }),
      maxVio: z.number().meta({ description: "(busiest - mean) / mean; 0 is even" }),
      entropy: z.number().meta({ description: "normalised entropy of the usage; 1 is even" }),
    };
    return z
      .strictObject({
        ...figures,
        byLabel: z.array(z.strictObject({ label: z.string().nullable(), ...figures })),
      })
      .nullable();
  }),

  words: {
    title: "Load balance",
    text: "How evenly the load of a layer is spread over its experts.",
    uncertainty: "none",
    terms: {
      cv: {
        title: "Load imbalance (CV)",
        text: "Coefficient of variation of the experts' token counts: 0 is even. Above 1, the spread is larger than the mean.",
        formula: "unbiased standard deviation / mean",
        source: "EasySteer, analyze_expert_usage",
      },
      maxVio: {
        title: "MaxVio",
        text: "How far the busiest expert is above the mean load: 0 is even, 1 is twice the mean.",
        formula: "(max load − mean load) / mean load",
        source: "Wang et al., arXiv:2408.15664",
      },
      evenness: {
        title: "Usage entropy (evenness)",
        text: "Entropy of the load over its greatest possible value: 1 is even, 0 is a single expert.",
        formula: "−Σ p ln p / ln(experts),  p = load / total load",
        source: "Pielou, J. Theoret. Biol. 13, 1966",
      },
    },
  },
};

/** A layer of one expert has no variation. */
function balanceOf(counts: Float64Array): LoadBalance {
  const found = loadBalance(counts);
  return { ...found, cv: Number.isNaN(found.cv) ? 0 : found.cv };
}
