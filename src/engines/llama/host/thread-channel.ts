import { makeAbort, raiseAbort } from "../native/abort.ts";
import type { ChannelListener, HostChannel } from "./channel.ts";
import { HostThread } from "./host-thread.ts";
import { CONTROL, type HostOptions, type ToHost } from "./protocol.ts";

/** Resolves when the model before this one has been loaded, or could not be. */
let lastLoad: Promise<void> = Promise.resolve();

/** llama.cpp in a worker thread of this process. */
export class ThreadChannel implements HostChannel {
  readonly #thread: HostThread;
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
    return new ThreadChannel(options, loaded);
  }

  /** @param loaded called once the model has been loaded, or could not be. */
  private constructor(options: HostOptions, loaded: () => void) {
    const control = new SharedArrayBuffer(CONTROL.bytes);
    this.#control = new Int32Array(control);
    this.#abort = makeAbort();
    this.#thread = HostThread.take({
      message: (message) => {
        loaded();
        this.#listener?.message(message);
      },
      ended: (end) => {
        loaded();
        this.#listener?.ended(end);
      },
    });
    this.ref();
    this.#thread.post({ type: "open", options: { ...options, control, abort: this.#abort } });
  }

  listen(listener: ChannelListener): void {
    this.#listener = listener;
  }

  post(message: ToHost): void {
    this.#thread.post(message);
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
    this.#thread.ref();
  }

  unref(): void {
    this.#thread.unref();
  }
}
