import { balanceFacts, balancesOf } from "../../views/facts/usage.ts";
import { usageWhere } from "../captures/row-filter.ts";
import { json } from "../host/declaration.ts";
import { captureId, rowFilter } from "../host/schemas.ts";
import { question } from "./question.ts";

export const balance = question({
  path: "/api/captures/{id}/balance",
  tag: "analysis",
  summary: "How evenly the load of every layer is spread",
  asked: rowFilter.extend({ id: captureId }),
  answer: json("by layer", balanceFacts),
  find: ({ id: { capture }, ...filter }) => balancesOf(usageWhere(capture, filter)),
});
