import { z } from "zod";
import { expertAtlas } from "../../analysis/expert-atlas.ts";
import { atlasFacts } from "../../views/facts/atlas.ts";
import { analyses } from "../captures/analyses.ts";
import { json } from "../host/declaration.ts";
import { captureId } from "../host/schemas.ts";
import { question } from "./question.ts";

export const atlas = question({
  path: "/api/captures/{id}/atlas",
  tag: "analysis",
  summary: "All experts as points in a plane, near each other where they serve a similar mix",
  asked: z.object({ id: captureId }),
  answer: json("the points", atlasFacts),
  slow: true,
  find: async ({ id }, { onProgress }) => expertAtlas(await analyses.get(id, onProgress)),
});
