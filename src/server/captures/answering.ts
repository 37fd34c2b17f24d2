import { parentPort } from "node:worker_threads";
import type { AnalyzeProgress } from "../../analysis/analyze.ts";
import { MoescopeError } from "../../core/errors.ts";
import { ServerError } from "../host/server-error.ts";
import type { Question } from "../questions/question.ts";
import { type Answer, arrayAnswer, jsonAnswer, type Values } from "./answer.ts";
import { OpenCaptures } from "./open-captures.ts";
import type { Asked, Inquiry, Replied, SentError } from "./protocol.ts";

/** Answer what this worker's parent asks, with the question that has the path. */
export function answerQuestions(questions: readonly Question[]): void {
  const byPath = new Map(questions.map((question) => [question.path, question]));
  const captures = new OpenCaptures();
  const reply = (message: Replied, transfer: ArrayBuffer[] = []) =>
    parentPort!.postMessage(message, transfer);
  parentPort!.on("message", async ({ id, inquiry }: Asked) => {
    try {
      const question = byPath.get(inquiry.path)!;
      const answer = await find(question, inquiry, captures, (progress) => reply({ id, progress }));
      reply({ id, answer }, [answer.body.buffer]);
    } catch (error) {
      reply({ id, error: sent(error) });
    }
  });
}

async function find(
  question: Question,
  { asked, captures, found, range }: Inquiry,
  open: OpenCaptures,
  onProgress: (progress: AnalyzeProgress) => void,
): Promise<Answer> {
  const opened: Record<string, unknown> = { ...asked };
  for (const [name, capture] of Object.entries(captures)) opened[name] = await open.get(capture);
  const answer = await question.find(opened as never, { found, onProgress });
  return question.answer.kind === "values" ? arrayAnswer(answer as Values, range) : jsonAnswer(answer);
}

function sent(error: unknown): SentError {
  const { message } = error instanceof Error ? error : new Error(String(error));
  if (error instanceof MoescopeError)
    return { of: "library", code: error.code, message, retryable: error.retryable, headers: {} };
  if (error instanceof ServerError)
    return { of: "server", code: error.code, message, retryable: error.retryable, headers: error.headers };
  return { of: "unknown", code: "FAILED", message, retryable: true, headers: {} };
}
