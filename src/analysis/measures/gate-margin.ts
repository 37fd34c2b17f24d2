import type { StreamMeasure } from "./measure.ts";
import {
  type MomentsByLabel,
  rowMoments,
  type SummaryByLabel,
  summaryByLabel,
  summaryByLabelSchema,
} from "./tallies/row-moments.ts";

/**
 * How clear the gate's choice was by what it goes by. No result for a plain softmax, where the margin of the logits says it,
 * and where the rule, or the selection bias that takes part in it, is not known: no capture holds the bias.
 */
export const gateMargin: StreamMeasure<
  "gateMargin",
  SummaryByLabel | null,
  MomentsByLabel,
  SummaryByLabel | null
> = {
  name: "gateMargin",
  scope: "layer",
  cost: "count",
  keeps: rowMoments(["router_logits", "chosen"], ({ gate }) => gate?.margin ?? null),
  layer: summaryByLabel,
  schema: summaryByLabelSchema,
  words: {
    title: "Gate margin",
    text: "How nearly another expert that the gate allowed would have served a token, by what the choice goes by.",
    uncertainty:
      "standard deviation over the tokens; tokens whose logits are not finite, and those with no other expert allowed, are counted and left out",
    terms: {
      gateMargin: {
        title: "Gate margin",
        unit: "score",
        text: "The lowest of the chosen experts minus the highest of the others in the groups that the gate allows, of its own scores with the selection bias. Needs the bias where there is one: rowGate takes it.",
        formula: "min(chosen) − max(allowed others),  of score + bias",
        source: "llama.cpp, build_moe_ffn; DeepSeek-V3, arXiv:2412.19437",
      },
    },
  },
};
