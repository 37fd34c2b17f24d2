import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { packageRoot } from "../../package-root.ts";
import { makeAbort, raiseAbort } from "./abort.ts";
import type { ChannelListener, HostChannel } from "./channel.ts";
import { CONTROL, type FromHost, type HostOptions, type ToHost, type WorkerOptions } from "./protocol.ts";

/** Resolves when the thread started before has loaded its model, or failed to. */
let lastLoad: Promise<void> = Promise.resolve();

/** llama.cpp in a worker thread of this process. */
export class ThreadChannel implements HostChannel {
  readonly #worker: Worker;
  readonly #control: Int32Array;
  readonly #abort: SharedArrayBuffer;
  #listener: ChannelListener | null = null;

  /**
   * Start a host. Loads in one process take turns: llama.cpp has a single log callback, through which each learns
   * what is wrong with its own file.
   */
  static async open(options: HostOptions): Promise<ThreadChannel> {
    const before = lastLoad;
    let loaded!: () => void;
    lastLoad = new Promise((resolve) => {
      loaded = resolve;
    });
    await before;
    const channel = new ThreadChannel(options);
    channel.#worker.once("message", loaded).once("exit", loaded);
    return channel;
  }

  private constructor(options: HostOptions) {
    const control = new SharedArrayBuffer(CONTROL.bytes);
    this.#control = new Int32Array(control);
    this.#abort = makeAbort();
    this.#worker = new Worker(join(packageRoot, "dist", "engines", "llama", "worker.js"), {
      workerData: { ...options, control, abort: this.#abort } satisfies WorkerOptions,
      name: "moescope llama.cpp",
      // Flags of the host program (--eval, --input-type) are not for the worker.
      execArgv: [],
    });
    let cause: Error | undefined;
    this.#worker
      .on("message", (message: FromHost) => this.#listener?.message(message))
      .on("error", (error: Error) => {
        cause = error;
      })
      .on("exit", (code) =>
        this.#listener?.ended({
          name: "llama.cpp's thread",
          what: cause ? `died: ${cause.message}` : `ended with code ${code}`,
          ...(cause && { cause }),
        }),
      );
  }

  listen(listener: ChannelListener): void {
    this.#listener = listener;
  }

  post(message: ToHost): void {
    this.#worker.postMessage(message);
  }

  stop(): void {
    Atomics.store(this.#control, CONTROL.aborted, 1);
    raiseAbort(this.#abort);
    // The host may be waiting for messages to be taken.
    Atomics.notify(this.#control, CONTROL.taken);
  }

  resume(): void {
    Atomics.store(this.#control, CONTROL.aborted, 0);
    raiseAbort(this.#abort, false);
  }

  taken(): void {
    Atomics.add(this.#control, CONTROL.taken, 1);
    Atomics.notify(this.#control, CONTROL.taken);
  }

  /** Never terminates the thread: native code would go on, and its model would never be freed. */
  discard(): void {
    this.stop();
    this.post({ type: "close" });
    this.unref();
  }

  ref(): void {
    this.#worker.ref();
  }

  unref(): void {
    this.#worker.unref();
  }
}
