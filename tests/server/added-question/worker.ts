import { answerQuestions } from "../../../src/server/captures/answering.ts";
import { questions } from "../../../src/server/questions/index.ts";
import { longestToken } from "./longest-token.ts";

answerQuestions([...questions, longestToken]);
