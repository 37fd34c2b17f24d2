import { z } from "zod";
import { coactivationIn } from "../../analysis/coactivation.ts";
import { valuesOf } from "../captures/answer.ts";
import { requireRouting } from "../captures/row-filter.ts";
import { values } from "../host/declaration.ts";
import { captureId, layer } from "../host/schemas.ts";
import { question } from "./question.ts";

export const coactivation = question({
  path: "/api/captures/{id}/coactivation/{layer}",
  tag: "analysis",
  summary:
    "Lift of each pair of experts over chance, given how often each is used, [experts, experts]; 1: neutral",
  asked: z.object({ id: captureId, layer }),
  answer: values("the lifts; which pairs are beyond chance is in the analysis"),
  slow: true,
  find({ id: { capture }, layer }) {
    requireRouting(capture, layer, null);
    const { experts, lift } = coactivationIn(capture, [layer]).get(layer)!;
    return valuesOf(Float32Array.from(lift), [experts, experts]);
  },
});
