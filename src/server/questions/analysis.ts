import { z } from "zod";
import { type AnalysisOverview, analysisOverview, overviewFacts } from "../../views/facts/analysis.ts";
import { analyses } from "../captures/analyses.ts";
import { json } from "../host/declaration.ts";
import { captureId } from "../host/schemas.ts";
import { question } from "./question.ts";

export const analysis = question({
  path: "/api/captures/{id}/analysis",
  tag: "analysis",
  summary: "Everything that was found, without the token preferences and the pairs' matrices",
  asked: z.object({ id: captureId }),
  // Its type comes from the measures, its schema from their registry: TypeScript does not see that they agree.
  answer: json("the analysis", overviewFacts as () => z.ZodType as () => z.ZodType<AnalysisOverview>),
  slow: true,
  find: async ({ id }, { onProgress }) => analysisOverview(await analyses.get(id, onProgress)),
});
