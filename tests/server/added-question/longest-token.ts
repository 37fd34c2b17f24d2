import { z } from "zod";
import { json } from "../../../src/server/host/declaration.ts";
import { captureId } from "../../../src/server/host/schemas.ts";
import { question } from "../../../src/server/questions/question.ts";

/** A question that is not there, in one file as those that are. */
export const longestToken = question({
  path: "/api/captures/{id}/longest-token/{sample}",
  tag: "captures",
  summary: "The longest text of a token of a sample",
  asked: z.object({
    id: captureId,
    sample: z.coerce.number<number>().int().nonnegative(),
    upper: z.enum(["yes", "no"]).default("no"),
  }),
  answer: json("the text", () => z.strictObject({ text: z.string(), rows: z.int() })),
  find({ id: { capture }, sample, upper }) {
    const texts = [...capture.rows.text].filter((_, row) => capture.rows.sample[row] === sample);
    const longest = texts.reduce((a, b) => (b.length > a.length ? b : a), "");
    return { text: upper === "yes" ? longest.toUpperCase() : longest, rows: texts.length };
  },
});
