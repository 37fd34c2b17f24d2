import type { ChannelListener, HostChannel } from "./channel.ts";
import { HostThread } from "./host-thread.ts";
import type { HostOptions, ToHost } from "./protocol.ts";
import { HostSignals } from "./signals.ts";

/** Resolves when the model before this one has been loaded, or could not be. */
let lastLoad: Promise<void> = Promise.resolve();

/** llama.cpp in a worker thread of this process. */
export class ThreadChannel implements HostChannel {
  readonly #thread: HostThread;
  readonly #signals = new HostSignals();
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
    this.#thread.post({ type: "open", options: { ...options, ...this.#signals.shared } });
  }

  listen(listener: ChannelListener): void {
    this.#listener = listener;
  }

  post(message: ToHost): void {
    this.#thread.post(message);
  }

  stop(): void {
    this.#signals.stop();
  }

  resume(): void {
    this.#signals.resume();
  }

  taken(): void {
    this.#signals.taken();
  }

  /** Never terminates the thread: native code would go on, and its model would never be freed. */
  discard(): void {
    this.stop();
    this.post({ type: "close" });
    this.unref();
  }

  /** Native code cannot be stopped from outside: the thread is left to itself. */
  kill(why: string): void {
    this.#thread.abandon(why);
  }

  ref(): void {
    this.#thread.ref();
  }

  unref(): void {
    this.#thread.unref();
  }
}
