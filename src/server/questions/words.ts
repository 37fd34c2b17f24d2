import { z } from "zod";
import { allWords, wordsFacts } from "../../views/facts/words.ts";
import { json } from "../host/declaration.ts";
import { question } from "./question.ts";

export const words = question({
  path: "/api/words",
  tag: "analysis",
  summary: "The measures and the terms of what is shown, with formulas and sources",
  asked: z.object({}),
  answer: json("the words", wordsFacts),
  find: () => allWords(),
});
