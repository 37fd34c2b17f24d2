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
  summary: "Lift of each pair of experts over that of all pairs, [experts, experts]; 1: neutral",
  asked: z.object({ id: captureId, layer }),
  answer: values("the lifts; see `CoactivationPair`"),
  slow: true,
  find({ id: { capture }, layer }) {
    requireRouting(capture, layer, null);
    const { experts, neutralLift, lift } = coactivationIn(capture, [layer]).get(layer)!;
    return valuesOf(
      Float32Array.from(lift, (value) => value / neutralLift),
      [experts, experts],
    );
  },
});
