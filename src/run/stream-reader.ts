import { availableMemory } from "../core/available-memory.ts";
import type { Step } from "../core/engine.ts";
import { EngineError } from "../core/errors.ts";
import type { RowBatch } from "../core/rows.ts";
import type { RunQueue, Turn } from "./run-queue.ts";

/**
 * A run whose steps are read one by one, by somebody who may take their time, wait for another run of the same model
 * meanwhile, or never come back.
 *
 * The engine goes on only as far as it is read. As soon as another run waits for it, the rest is computed and kept in
 * memory, so that the other one is served; the reader finds its steps there.
 */
export class StreamReader {
  readonly #queue: RunQueue;
  readonly #start: (signal: AbortSignal) => AsyncIterable<Step>;
  readonly #signal: AbortSignal | undefined;
  readonly #limit: () => number;
  /** Stops the engine: by the caller's signal, and when the stream is left. */
  readonly #stop = new AbortController();
  readonly #kept: Step[] = [];
  #keptBytes = 0;
  #turn: Turn | null = null;
  #steps: AsyncIterator<Step> | null = null;
  #underway: Promise<void> | null = null;
  #runningAhead = false;
  #ended: { readonly error?: unknown } | null = null;

  /**
   * @param start begins the run.
   * @param limit bytes of rows that may be kept. Default: half of the memory that is free when it is needed.
   */
  constructor(
    queue: RunQueue,
    start: (signal: AbortSignal) => AsyncIterable<Step>,
    signal?: AbortSignal,
    limit: () => number = () => availableMemory() / 2,
  ) {
    this.#queue = queue;
    this.#start = start;
    this.#signal = signal;
    this.#limit = limit;
  }

  /** The next step, or `null` after the last. */
  async next(): Promise<Step | null> {
    this.#signal?.throwIfAborted();
    if (!this.#turn) await this.#begin();
    while (this.#kept.length === 0) {
      if (this.#ended) {
        if ("error" in this.#ended) throw this.#ended.error;
        return null;
      }
      await this.#advance();
      this.#signal?.throwIfAborted();
    }
    const step = this.#kept.shift()!;
    this.#keptBytes -= bytesOf(step.batch);
    return step;
  }

  /** Leave the stream: the engine stops and is free for the next run. */
  async leave(): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#kept.length = 0;
    if (this.#ended) return;
    this.#stop.abort(this.#signal?.reason);
    if (!this.#steps) return;
    await this.#underway;
    if (!this.#ended) await this.#steps.return?.().catch(() => {});
    this.#end({});
  }

  /** Nobody may be reading just then. */
  readonly #onAbort = () => void this.leave();

  async #begin(): Promise<void> {
    const signal = this.#signal;
    this.#turn = await this.#queue.take({ ...(signal && { signal }), awaited: () => void this.#runAhead() });
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#steps = this.#start(this.#stop.signal)[Symbol.asyncIterator]();
    // For those who came before.
    void this.#runAhead();
  }

  /** Have the engine compute one step more. It never rejects. */
  #advance(): Promise<void> {
    this.#underway ??= this.#steps!.next()
      .then(
        ({ done, value }) => {
          if (done) return this.#end({});
          this.#kept.push(value);
          this.#keptBytes += bytesOf(value.batch);
        },
        (error) => this.#end({ error }),
      )
      .finally(() => {
        this.#underway = null;
      });
    return this.#underway;
  }

  async #runAhead(): Promise<void> {
    if (this.#runningAhead || !this.#steps || this.#queue.length === 0) return;
    this.#runningAhead = true;
    try {
      const limit = this.#limit();
      while (!this.#ended && this.#queue.length > 0) {
        if (this.#keptBytes > limit) this.#turn!.refuseWaiting(unread(this.#keptBytes));
        else await this.#advance();
      }
    } finally {
      this.#runningAhead = false;
    }
  }

  #end(how: { readonly error?: unknown }): void {
    this.#ended ??= how;
    this.#turn?.release();
  }
}

function bytesOf(batch: RowBatch | null): number {
  if (!batch) return 0;
  let bytes = batch.rows * ROW_LABELS;
  for (const layers of batch.streams.values())
    for (const { byteLength } of layers.values()) bytes += byteLength;
  return bytes;
}

/** Bytes of sample, position, token id and phase. */
const ROW_LABELS = 13;

const unread = (bytes: number) =>
  new EngineError(
    "ENGINE_BUSY",
    `a stream that was begun holds the model: ${(bytes / 2 ** 20).toFixed(0)} MiB of its rows wait in memory to be ` +
      "read, and there is no room for more; read it to its end or leave it (break, return()) before the next run",
    { retryable: true },
  );
