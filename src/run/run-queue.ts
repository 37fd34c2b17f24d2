import { AsyncLocalStorage } from "node:async_hooks";
import { EngineError } from "../core/errors.ts";

/** The engine is somebody's until it is released. */
export interface Turn {
  /** Calling it twice is one call. */
  release(): void;
  /** Reject those who wait now; the turn stays. */
  refuseWaiting(error: Error): void;
  /** Do what belongs to the turn: who asks for another turn from there, and would wait for itself, gets an error. */
  inside<R>(work: () => R): R;
}

export interface TurnOptions {
  /** Aborting while it waits rejects at once with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called for everybody who waits for the end of this turn. */
  readonly awaited?: () => void;
}

interface Waiter {
  grant(): void;
  reject(error: unknown): void;
}

/** The turns that a piece of code belongs to, the innermost first: a sink may run another model. */
interface Belonging {
  readonly turn: Turn;
  readonly outer: Belonging | undefined;
}

const belongings = new AsyncLocalStorage<Belonging>();

/** An engine has one run at a time. Whoever needs it waits here, in the order in which they came. */
export class RunQueue {
  readonly #waiting: Waiter[] = [];
  #holder: { readonly turn: Turn; readonly awaited: (() => void) | undefined } | null = null;
  #closed: Error | null = null;

  /** Those who wait. */
  get length(): number {
    return this.#waiting.length;
  }

  /**
   * Wait for a turn. It is to be released, also after a failure.
   *
   * @throws EngineError `ENGINE_BUSY` where the turn could never come: a run's own sink asks for it, or a stream
   * that nobody reads keeps the engine; `ENGINE_CLOSED`; the signal's reason.
   */
  async take({ signal, awaited }: TurnOptions = {}): Promise<Turn> {
    signal?.throwIfAborted();
    if (this.#closed) throw this.#closed;
    this.#assertNotInside();
    const turn = this.#newTurn();
    const start = () => {
      this.#holder = { turn, awaited };
      // They have come before it had begun.
      if (this.#waiting.length > 0) awaited?.();
    };
    if (this.#holder === null) start();
    else await this.#wait(start, signal);
    return turn;
  }

  /** Reject all who wait, and all who come from now on. */
  close(error: Error): void {
    this.#closed ??= error;
    this.#refuseWaiting(error);
  }

  #wait(start: () => void, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => signal?.removeEventListener("abort", abort);
      const waiter: Waiter = {
        grant: () => {
          leave();
          start();
          resolve();
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      const abort = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(signal!.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiting.push(waiter);
      this.#holder!.awaited?.();
    });
  }

  #newTurn(): Turn {
    const turn: Turn = {
      release: () => {
        if (this.#holder?.turn !== turn) return;
        this.#holder = null;
        this.#waiting.shift()?.grant();
      },
      refuseWaiting: (error) => {
        if (this.#holder?.turn === turn) this.#refuseWaiting(error);
      },
      inside: (work) => belongings.run({ turn, outer: belongings.getStore() }, work),
    };
    return turn;
  }

  #refuseWaiting(error: Error): void {
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
  }

  #assertNotInside(): void {
    for (let at = belongings.getStore(); at; at = at.outer)
      if (at.turn === this.#holder?.turn)
        throw new EngineError(
          "ENGINE_BUSY",
          "the sink of a run asks for another run of the same model, and the first cannot go on before the sink " +
            "does: start the second after it",
        );
  }
}
