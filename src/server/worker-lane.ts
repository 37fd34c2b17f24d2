import { Worker } from "node:worker_threads";
import type { AnalyzeProgress } from "../analysis/analyze.ts";
import { errorOf } from "../core/errors.ts";
import type { Answer } from "./answer.ts";
import type { QuestionName, Questions, Replied } from "./protocol.ts";
import { ServerError } from "./server-error.ts";

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: ((progress: AnalyzeProgress) => void) | undefined;
  readonly timer: NodeJS.Timeout;
}

/** Questions a lane takes at a time; beyond it the server says that it is busy. */
const MAX_WAITING = 256;

/**
 * One worker and the questions it has been asked. A question that takes too long ends the worker: a computation
 * cannot be interrupted otherwise. The next question starts a new one.
 */
export class WorkerLane {
  readonly #script: URL;
  readonly #timeoutMs: number;
  #worker: Worker | null = null;
  #nextId = 0;
  readonly #waiting = new Map<number, Waiting>();

  constructor(script: URL, timeoutMs: number) {
    this.#script = script;
    this.#timeoutMs = timeoutMs;
  }

  ask<Q extends QuestionName>(
    name: Q,
    question: Questions[Q],
    onProgress?: (progress: AnalyzeProgress) => void,
  ): Promise<Answer> {
    if (this.#waiting.size >= MAX_WAITING)
      return Promise.reject(new ServerError("BUSY", "too many requests are waiting; try again in a moment"));
    const worker = this.#running();
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const timer = setTimeout(() => this.#overdue(name), this.#timeoutMs);
      this.#waiting.set(id, { resolve, reject, onProgress, timer });
      worker.postMessage({ id, name, question });
    });
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.#fail(new ServerError("STOPPING", "the server is stopping"));
    await worker?.terminate();
  }

  #running(): Worker {
    if (this.#worker) return this.#worker;
    const worker = new Worker(this.#script);
    worker.unref();
    worker.on("message", (reply: Replied) => this.#receive(reply));
    const gone = (error: Error) => {
      if (this.#worker === worker) this.#fail(error);
    };
    worker.on("error", (cause) =>
      gone(new ServerError("FAILED", `reading captures failed: ${cause.message}; try again`, { cause })),
    );
    worker.on("exit", () => gone(new ServerError("FAILED", "reading captures failed; try again")));
    this.#worker = worker;
    return worker;
  }

  #receive(reply: Replied): void {
    const waiting = this.#waiting.get(reply.id);
    if (!waiting) return;
    if ("progress" in reply) {
      waiting.onProgress?.(reply.progress);
      return;
    }
    this.#waiting.delete(reply.id);
    clearTimeout(waiting.timer);
    if ("answer" in reply) waiting.resolve(reply.answer);
    else {
      const { code, message, retryable } = reply.error;
      waiting.reject(
        code === null
          ? new ServerError("FAILED", message)
          : (errorOf(code, message, { retryable }) ?? new ServerError("FAILED", message)),
      );
    }
  }

  #overdue(name: QuestionName): void {
    const worker = this.#worker;
    const seconds = Math.round(this.#timeoutMs / 1000);
    this.#fail(
      new ServerError(
        "TIMEOUT",
        `${name} took longer than ${seconds} s and was stopped; ask for fewer rows or layers`,
      ),
    );
    void worker?.terminate();
  }

  /** Everybody who waits learns why; the worker is not asked again. */
  #fail(error: Error): void {
    this.#worker = null;
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#waiting.clear();
  }
}
