import { z } from "zod";
import { expertSimilarity } from "../../analysis/expert-similarity.ts";
import { similarityFacts, similarityOf } from "../../views/facts/similarity.ts";
import { requireRouting } from "../captures/row-filter.ts";
import { json } from "../host/declaration.ts";
import { captureId, expert, layer } from "../host/schemas.ts";
import { question } from "./question.ts";

export const similarity = question({
  path: "/api/captures/{id}/similarity/{layer}/{expert}",
  tag: "analysis",
  summary: "How far the experts of all layers serve the tokens that one serves",
  asked: z.object({ id: captureId, layer, expert }),
  answer: json("by layer", similarityFacts),
  find({ id: { capture }, layer, expert }) {
    requireRouting(capture, layer, expert);
    return similarityOf(expertSimilarity(capture, layer, expert));
  },
});
