import { usageFacts, usageOf } from "../../views/facts/usage.ts";
import { usageWhere } from "../captures/row-filter.ts";
import { json } from "../host/declaration.ts";
import { captureId, rowFilter } from "../host/schemas.ts";
import { question } from "./question.ts";

export const usage = question({
  path: "/api/captures/{id}/usage",
  tag: "analysis",
  summary: "Usage of every expert in the rows that meet the conditions",
  asked: rowFilter.extend({ id: captureId }),
  answer: json("layers x experts", usageFacts),
  find: ({ id: { capture }, ...filter }) => usageOf(usageWhere(capture, filter), { byLabel: false }),
});
