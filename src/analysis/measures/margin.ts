import type { StreamMeasure } from "./measure.ts";
import {
  type MomentsByLabel,
  rowMoments,
  type SummaryByLabel,
  summaryByLabel,
  summaryByLabelSchema,
} from "./tallies/row-moments.ts";

/** How clear the choice was; no result without rows or router logits. */
export const margin: StreamMeasure<"margin", SummaryByLabel | null, MomentsByLabel, SummaryByLabel | null> = {
  name: "margin",
  scope: "layer",
  cost: "count",
  keeps: rowMoments(["router_logits", "chosen"], (chunk) => chunk.margin!),
  layer: summaryByLabel,
  schema: summaryByLabelSchema,
  words: {
    title: "Margin",
    text: "How nearly another expert would have served a token, in the mean over the tokens.",
    uncertainty:
      "standard deviation over the tokens; tokens whose logits are not finite are counted and left out",
    terms: {
      margin: {
        title: "Margin",
        unit: "logits",
        text: "How clear the choice was: the lowest logit among the chosen experts minus the highest among the others. Near 0, another expert nearly served this token; below 0, a bias or group limit overrode the logits.",
        formula: "min(chosen logits) − max(other logits)",
      },
    },
  },
};
