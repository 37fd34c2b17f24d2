import { questions } from "../questions/index.ts";
import { answerQuestions } from "./answering.ts";

/** A thread that reads captures and computes, so that the one that answers clients never waits for either. */
answerQuestions(questions);
