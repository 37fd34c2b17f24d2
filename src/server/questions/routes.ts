import type { CaptureLibrary } from "../captures/capture-library.ts";
import { json, rangeOf, respond } from "../host/respond.ts";
import { type Route, route } from "../host/route.ts";
import type { Question } from "./question.ts";

/** How long an answer is waited for before the client hears how far it is, ms. */
const PATIENCE_MS = 5000;

/** The routes of questions about captures. An answer is computed once for each version of a capture. */
export const questionRoutes = (questions: readonly Question[], library: CaptureLibrary): Route[] =>
  questions.map((question) =>
    route({ ...question, method: "get" }, async ({ asked, c }) => {
      if (question.slow) {
        const found = await library.askPatiently(question, asked, PATIENCE_MS);
        return "answer" in found ? respond(c, found) : json(found, 202);
      }
      const partial = question.answer.kind === "values" && question.answer.partial;
      return respond(
        c,
        await library.ask(question, asked, (version) => (partial ? rangeOf(c, version) : null)),
      );
    }),
  );
