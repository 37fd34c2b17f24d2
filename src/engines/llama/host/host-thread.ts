import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { packageRoot } from "../../../core/package-root.ts";
import type { HostEnd } from "./host-end.ts";
import type { FromHost, FromThread, ToThread } from "./protocol.ts";

/** Whoever has a model in the thread. */
export interface Tenant {
  message(message: FromHost): void;
  /** The model is gone: closed and freed, or with the thread. */
  ended(end: HostEnd): void;
}

/** Threads without a model, to be used again. */
const idle: HostThread[] = [];
/** One is enough for a program that loads models one after the other; each keeps some megabytes. */
const MAX_IDLE = 1;
const NAME = "llama.cpp's thread";

/**
 * A worker thread that runs llama.cpp (`worker.ts`), for one model at a time.
 *
 * Threads serve again: to start one and bind llama.cpp takes ten times as long as to load a small model.
 */
export class HostThread {
  readonly #worker: Worker;
  #tenant: Tenant | null = null;

  /** A thread that has no model. Whether it keeps the process alive is for the tenant to say: {@link ref}, {@link unref}. */
  static take(tenant: Tenant): HostThread {
    const thread = idle.pop() ?? new HostThread();
    thread.#tenant = tenant;
    return thread;
  }

  private constructor() {
    this.#worker = new Worker(join(packageRoot, "dist", "engines", "llama", "worker.js"), {
      name: "moescope llama.cpp",
      // Flags of the host program (--eval, --input-type) are not for the worker.
      execArgv: [],
    });
    let cause: Error | undefined;
    this.#worker
      .on("message", (message: FromThread) => {
        if (message.type === "closed") this.#release();
        else this.#tenant?.message(message);
      })
      .on("error", (error: Error) => {
        cause = error;
      })
      .on("exit", (code) => {
        const at = idle.indexOf(this);
        if (at >= 0) idle.splice(at, 1);
        const what = cause ? `died: ${cause.message}` : `ended with code ${code}`;
        this.#end({ name: NAME, what, ...(cause && { cause }) });
      });
  }

  post(message: ToThread): void {
    this.#worker.postMessage(message);
  }

  ref(): void {
    this.#worker.ref();
  }

  unref(): void {
    this.#worker.unref();
  }

  #release(): void {
    this.unref();
    if (idle.length < MAX_IDLE) idle.push(this);
    else this.post({ type: "exit" });
    this.#end({ name: NAME, what: "has closed its model" });
  }

  #end(end: HostEnd): void {
    const tenant = this.#tenant;
    this.#tenant = null;
    tenant?.ended(end);
  }
}
