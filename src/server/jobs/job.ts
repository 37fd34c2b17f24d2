import { setImmediate } from "node:timers/promises";
import type { Finished } from "../../core/request.ts";
import type { RowBatch } from "../../core/rows.ts";
import type { RunEnd, RunHeader, Sink } from "../../core/sink.ts";
import { describe } from "../host/problem.ts";
import type { EngineQueue } from "./engine-queue.ts";
import type { JobEvents, Job as JobFacts } from "./schemas.ts";
import { tokenEvents, watchedLayers } from "./token-events.ts";

export type JobEventName = keyof JobEvents;

/** Hears what a job does. A promise holds the job back until it resolves. */
export type JobListener = <E extends JobEventName>(event: E, data: JobEvents[E]) => void | Promise<void>;

export type RowListener = (batch: RowBatch) => void | Promise<void>;
export type FinishListener = (samples: readonly Finished[]) => void;

/** Progress is told at most this often (ms): nobody reads faster. */
const PROGRESS_MS = 100;

/** One use of an engine, from its place in the queue to its end. */
export class Job {
  readonly id: string;
  readonly kind: JobFacts["kind"];
  readonly #model: string;
  readonly #queue: EngineQueue;
  readonly #createdAt = new Date().toISOString();
  readonly #abort = new AbortController();
  readonly #listeners = new Set<JobListener>();
  #state: JobFacts["state"] = "waiting";
  #progress: JobFacts["progress"] = null;
  #error: JobFacts["error"] = null;
  #start: Omit<JobEvents["start"], "job"> | null = null;
  #rows = 0;
  #toldAt = -Infinity;
  /** Id of the capture that the rows are in. */
  capture: string | null = null;

  constructor(id: string, kind: JobFacts["kind"], model: string, queue: EngineQueue) {
    this.id = id;
    this.kind = kind;
    this.#model = model;
    this.#queue = queue;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Rows that were computed. */
  get rows(): number {
    return this.#rows;
  }

  get ended(): boolean {
    return this.#state === "done" || this.#state === "failed" || this.#state === "cancelled";
  }

  facts(): JobFacts {
    return {
      id: this.id,
      kind: this.kind,
      model: this.#model,
      state: this.#state,
      createdAt: this.#createdAt,
      ahead: this.#queue.ahead(this),
      progress: this.#progress,
      capture: this.capture,
      error: this.#error,
    };
  }

  cancel(): void {
    this.#abort.abort(new DOMException("the job was cancelled", "AbortError"));
  }

  /** Hear from here on; of a job that has begun, first what it began with. @returns what ends it. */
  listen(listener: JobListener): () => void {
    this.#listeners.add(listener);
    if (this.#start) void listener("start", { job: this.facts(), ...this.#start });
    else void listener("job", this.facts());
    return () => this.forget(listener);
  }

  forget(listener: JobListener): void {
    this.#listeners.delete(listener);
  }

  moved(): void {
    void this.#tell("job", this.facts());
  }

  progressed(progress: NonNullable<JobFacts["progress"]>): void {
    this.#progress = { ...progress };
    const now = performance.now();
    if (now - this.#toldAt < PROGRESS_MS) return;
    this.#toldAt = now;
    void this.#tell("job", this.facts());
  }

  /** Pass a run's rows on to where they are kept, telling about them. */
  watch(
    kept: Sink<unknown>,
    {
      onRows,
      onFinished,
    }: { onRows?: RowListener | undefined; onFinished?: FinishListener | undefined } = {},
  ): Sink<readonly Finished[]> {
    let header!: RunHeader;
    const begin = async (opened: RunHeader) => {
      this.#state = "running";
      this.#start = {
        layers: watchedLayers(opened),
        experts: opened.model.moe?.experts ?? 0,
        topK: opened.model.moe?.topK ?? 0,
        samples: opened.samples.map(({ label, promptTokens }) => ({ label, promptTokens })),
      };
      await this.#tell("start", { job: this.facts(), ...this.#start });
    };
    return {
      open: async (opened) => {
        header = opened;
        await kept.open(opened);
        try {
          await begin(opened);
        } catch (error) {
          // Who failed to open is not closed, but this one has opened another. Why it failed says more than what closing does.
          await (async () => kept.close({ finished: [], error }))().catch(() => {});
          throw error;
        }
      },
      write: async (batch) => {
        this.#rows += batch.rows;
        await kept.write(batch);
        await onRows?.(batch);
        if (this.#listeners.size === 0) return;
        for (const tokens of tokenEvents(header, batch)) {
          await this.#tell("tokens", { job: this.id, tokens });
          // Others are answered between the pieces of a long prompt.
          await setImmediate();
        }
      },
      finish: (samples) => {
        onFinished?.(samples);
        return kept.finish?.(samples);
      },
      close: async (end: RunEnd) => {
        await kept.close(end);
        return end.finished;
      },
    };
  }

  /** The job's last word. */
  async end(
    outcome: { readonly finished: readonly Finished[] } | { readonly error: unknown },
  ): Promise<void> {
    if ("finished" in outcome) this.#state = "done";
    else if (this.signal.aborted) this.#state = "cancelled";
    else {
      const { code, message, retryable } = describe(outcome.error);
      this.#state = "failed";
      this.#error = { code, message, retryable };
    }
    const finished = "finished" in outcome ? outcome.finished : [];
    const outputs = finished.map(({ sample, text, reason }) => ({ sample, text, reason }));
    await this.#tell("end", { job: this.facts(), outputs });
    this.#listeners.clear();
    // Of thousands of samples, and nobody begins to listen any more.
    this.#start = null;
  }

  async #tell<E extends JobEventName>(event: E, data: JobEvents[E]): Promise<void> {
    for (const listener of [...this.#listeners]) await listener(event, data);
  }
}
