import { Worker } from "node:worker_threads";
import type { AnalyzeProgress } from "../../analysis/analyze.ts";
import { errorOf } from "../../core/errors.ts";
import { ServerError, type ServerErrorCode } from "../host/server-error.ts";
import type { Answer } from "./answer.ts";
import type { Inquiry, Replied, SentError } from "./protocol.ts";

interface Waiting {
  readonly inquiry: Inquiry;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: (progress: AnalyzeProgress) => void;
  readonly timer: NodeJS.Timeout;
}

/** Questions a lane takes at a time; beyond it the server says that it is busy. */
const MAX_WAITING = 256;

/**
 * One worker and the questions it has been asked. A question that takes too long ends the worker: a computation
 * cannot be interrupted otherwise. The others are asked again, of a new one.
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

  ask(inquiry: Inquiry, onProgress: (progress: AnalyzeProgress) => void): Promise<Answer> {
    if (this.#waiting.size >= MAX_WAITING)
      return Promise.reject(new ServerError("BUSY", "too many requests are waiting; try again in a moment"));
    const worker = this.#running();
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const timer = setTimeout(() => this.#overdue(id), this.#timeoutMs);
      this.#waiting.set(id, { inquiry, resolve, reject, onProgress, timer });
      worker.postMessage({ id, inquiry });
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
      waiting.onProgress(reply.progress);
      return;
    }
    this.#waiting.delete(reply.id);
    clearTimeout(waiting.timer);
    if ("answer" in reply) waiting.resolve(reply.answer);
    else waiting.reject(received(reply.error));
  }

  /** Who asked for too much learns it; nobody knows how far the others were, so they begin anew. */
  #overdue(id: number): void {
    const worker = this.#worker;
    this.#worker = null;
    const { inquiry, reject } = this.#waiting.get(id)!;
    this.#waiting.delete(id);
    const seconds = Math.round(this.#timeoutMs / 1000);
    reject(
      new ServerError(
        "TIMEOUT",
        `${inquiry.path} took longer than ${seconds} s and was stopped; ask for fewer rows or layers`,
      ),
    );
    void worker?.terminate();
    if (this.#waiting.size === 0) return;
    const next = this.#running();
    for (const [other, waiting] of this.#waiting) next.postMessage({ id: other, inquiry: waiting.inquiry });
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

function received({ of, code, message, retryable, headers }: SentError): Error {
  if (of === "library") return errorOf(code, message, { retryable }) ?? new ServerError("FAILED", message);
  return new ServerError(
    code as ServerErrorCode,
    message,
    Object.keys(headers).length > 0 ? { headers } : {},
  );
}
