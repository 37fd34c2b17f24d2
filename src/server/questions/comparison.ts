import { z } from "zod";
import { comparisonFacts } from "../../views/facts/comparison.ts";
import { keptComparison } from "../../views/facts/kept-comparisons.ts";
import { json } from "../host/declaration.ts";
import { captureId } from "../host/schemas.ts";
import { question } from "./question.ts";

export const comparison = question({
  path: "/api/compare",
  tag: "analysis",
  summary: "Two captures of the same prompts, token by token",
  asked: z.object({ a: captureId, b: captureId }),
  answer: json("the comparison, without the columns of all tokens", comparisonFacts),
  slow: true,
  find: async ({ a: { capture: a }, b: { capture: b } }, { onProgress }) =>
    (await keptComparison(a, b, false, { onProgress })).facts,
});
