import { ServerError } from "../host/server-error.ts";

/** Jobs that may wait for one engine. */
const MAX_WAITING = 256;

/** The jobs of one engine: one at a time, in the order they came. */
export class EngineQueue {
  readonly #limit: number;
  /** The first is the one that goes on. */
  readonly #queue: object[] = [];
  readonly #listeners = new Map<object, () => void>();

  /** @param limit jobs that may wait. */
  constructor(limit = MAX_WAITING) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#queue.length;
  }

  /** How many come before a job; 0 when it goes on or is not here. */
  ahead(job: object): number {
    return Math.max(0, this.#queue.indexOf(job));
  }

  /**
   * Wait for the job's turn, then work. Aborting while it waits rejects with the signal's reason.
   *
   * @param onMove called whenever the job's place has changed.
   * @throws ServerError `BUSY` when too many wait.
   */
  async run<R>(job: object, signal: AbortSignal, onMove: () => void, work: () => Promise<R>): Promise<R> {
    if (this.#queue.length > this.#limit)
      throw new ServerError("BUSY", `${this.#limit} requests wait for the model already; try again later`);
    this.#queue.push(job);
    try {
      await this.#turn(job, signal, onMove);
      return await work();
    } finally {
      this.#queue.splice(this.#queue.indexOf(job), 1);
      this.#listeners.delete(job);
      for (const moved of [...this.#listeners.values()]) moved();
    }
  }

  #turn(job: object, signal: AbortSignal, onMove: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = () => reject(signal.reason);
      const moved = () => {
        onMove();
        if (this.#queue[0] !== job) return;
        this.#listeners.delete(job);
        signal.removeEventListener("abort", stop);
        resolve();
      };
      if (signal.aborted) return stop();
      signal.addEventListener("abort", stop, { once: true });
      this.#listeners.set(job, moved);
      moved();
    });
  }
}
