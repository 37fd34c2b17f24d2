import { z } from "zod";
import { RequestError } from "../../core/errors.ts";
import { type LayerAnalysis, layerFacts } from "../../views/facts/analysis.ts";
import { analyses } from "../captures/analyses.ts";
import { json } from "../host/declaration.ts";
import { captureId, layer } from "../host/schemas.ts";
import { question } from "./question.ts";

export const layerAnalysis = question({
  path: "/api/captures/{id}/analysis/{layer}",
  tag: "analysis",
  summary: "Everything that was found in one layer",
  asked: z.object({ id: captureId, layer }),
  // As for the whole analysis.
  answer: json("the layer", layerFacts as () => z.ZodType as () => z.ZodType<LayerAnalysis>),
  slow: true,
  async find({ id, layer }, { onProgress }) {
    const { layers } = await analyses.get(id, onProgress);
    const found = layers.find((of) => of.layer === layer);
    if (found) return found;
    throw new RequestError("UNKNOWN_LAYER", `the capture does not tell which experts layer ${layer} chose`);
  },
});
