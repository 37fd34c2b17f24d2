import type { StreamMeasure } from "./measure.ts";
import {
  type MomentsByLabel,
  rowMoments,
  type SummaryByLabel,
  summaryByLabel,
  summaryByLabelSchema,
} from "./tallies/row-moments.ts";

/** How undecided the router is; no result without rows or router logits. From 0 to ln(experts). */
export const entropy: StreamMeasure<"entropy", SummaryByLabel | null, MomentsByLabel, SummaryByLabel | null> =
  {
    name: "entropy",
    scope: "layer",
    cost: "count",
    keeps: rowMoments(["router_logits"], (chunk) => chunk.entropy!),
    layer: summaryByLabel,
    schema: summaryByLabelSchema,
    words: {
      title: "Routing entropy",
      text: "How undecided the router is for a token, in the mean over the tokens.",
      uncertainty:
        "standard deviation over the tokens; tokens whose logits are not finite are counted and left out",
      terms: {
        entropy: {
          title: "Routing entropy",
          unit: "nats",
          text: "How undecided the router was for a token: 0 when one expert gets everything, ln(experts) when all are equally likely.",
          formula: "−Σ p ln p,  p = softmax(router logits)",
          source: "EasySteer, MOE_CAPTURE_USAGE",
        },
      },
    },
  };
