import type { StreamMeasure } from "./measure.ts";
import {
  type MomentsByLabel,
  rowMoments,
  type SummaryByLabel,
  summaryByLabel,
  summaryByLabelSchema,
} from "./tallies/row-moments.ts";

/**
 * How undecided the gate was by its own scores. No result for a plain softmax, where it is the routing entropy, and where
 * the rule is not known.
 */
export const gateEntropy: StreamMeasure<
  "gateEntropy",
  SummaryByLabel | null,
  MomentsByLabel,
  SummaryByLabel | null
> = {
  name: "gateEntropy",
  scope: "layer",
  cost: "count",
  keeps: rowMoments(["router_logits", "chosen"], ({ gate }) => gate?.entropy ?? null),
  layer: summaryByLabel,
  schema: summaryByLabelSchema,
  words: {
    title: "Gate entropy",
    text: "How undecided a gate that is no plain softmax was for a token by its own scores, in the mean over the tokens.",
    uncertainty:
      "standard deviation over the tokens; tokens whose logits are not finite are counted and left out",
    terms: {
      gateEntropy: {
        title: "Gate entropy",
        unit: "nats",
        text: "Entropy of the gate's own scores (sigmoid, say) over their sum. The routing entropy beside it is that of the softmax of the logits, whatever the gate.",
        formula: "−Σ p ln p,  p = score / Σ scores; softmax over the chosen ones: of these",
        source: "llama.cpp, build_moe_ffn",
      },
    },
  },
};
