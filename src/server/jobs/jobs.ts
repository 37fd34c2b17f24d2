import { randomUUID } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { FolderSink } from "../../capture/folder/folder-sink.ts";
import type { Finished } from "../../core/request.ts";
import type { Sink } from "../../core/sink.ts";
import { promptLabel } from "../../run/prompts/prompt.ts";
import type { Prompt } from "../../run/prompts/prompt-object.ts";
import type { RunOptions } from "../../run/run-options.ts";
import type { CaptureLibrary } from "../captures/capture-library.ts";
import { ServerError } from "../host/server-error.ts";
import { type FinishListener, Job, type JobListener, type RowListener } from "./job.ts";
import type { LoadedModel } from "./models.ts";
import type { Recording } from "./recording.ts";
import type { Recordings } from "./recordings.ts";
import type { Job as JobFacts, ModelList } from "./schemas.ts";

/** What a job is to do. */
export interface JobWork {
  readonly kind: JobFacts["kind"];
  readonly model: LoadedModel;
  readonly prompts: readonly Prompt[];
  readonly options: Omit<RunOptions, "signal" | "onProgress">;
  /** Where the rows go. Default: a recording. */
  readonly into?: string;
  /** Hears everything from the start, and holds the job back while it cannot follow. */
  readonly owner?: JobListener;
  /** Gets the rows themselves; a promise holds the job back as well. */
  readonly onRows?: RowListener;
  /** Gets samples as they end, with their embeddings. */
  readonly onFinished?: FinishListener;
}

/** A job that has begun, and its end. */
export interface StartedJob {
  readonly job: Job;
  /** Rejects with what went wrong, or the abort. */
  readonly finished: Promise<readonly Finished[]>;
}

/** Jobs that have ended are told about for so long. */
const MAX_ENDED = 200;
/** Clients that may follow jobs: each has a connection that others cannot have. */
const MAX_READERS = 128;
/** Takes rows that are only watched. */
const NOWHERE: Sink<void> = { open() {}, write() {}, close() {} };

/** Everything that runs here, or did a while ago. */
export class Jobs {
  readonly #library: CaptureLibrary;
  readonly #recordings: Recordings;
  /** Oldest first. */
  readonly #jobs = new Map<string, Job>();
  readonly #running = new Set<Promise<unknown>>();
  readonly #watchers = new Set<JobListener>();
  #readers = 0;
  #closed = false;

  constructor(library: CaptureLibrary, recordings: Recordings) {
    this.#library = library;
    this.#recordings = recordings;
  }

  /** What is kept of requests; `null`: nothing. */
  get recording(): ModelList["recording"] {
    const { on, limit, maxRequests } = this.#recordings;
    return on ? { bytes: limit, requests: maxRequests } : null;
  }

  /** Newest first. */
  list(): JobFacts[] {
    return [...this.#jobs.values()].map((job) => job.facts()).reverse();
  }

  /** @throws ServerError `NOT_FOUND`. */
  get(id: string): Job {
    const job = this.#jobs.get(id);
    if (!job) throw new ServerError("NOT_FOUND", `there is no job ${id}; GET /api/jobs lists them`);
    return job;
  }

  /**
   * Count somebody who follows jobs.
   *
   * @returns what ends it.
   * @throws ServerError `BUSY` when too many do.
   */
  admit(): () => void {
    if (this.#readers >= MAX_READERS)
      throw new ServerError("BUSY", `${MAX_READERS} clients follow jobs already; try again later`);
    this.#readers++;
    return () => this.#readers--;
  }

  /** Hear of all jobs, those that run and those to come. @returns what ends it. */
  watch(watcher: JobListener): () => void {
    this.#watchers.add(watcher);
    for (const job of this.#jobs.values()) if (!job.ended) job.listen(watcher);
    return () => {
      this.#watchers.delete(watcher);
      for (const job of this.#jobs.values()) job.forget(watcher);
    };
  }

  /** @throws ServerError `STOPPING`. */
  start(work: JobWork): StartedJob {
    if (this.#closed) throw new ServerError("STOPPING", "the server is stopping");
    const { kind, model, owner } = work;
    const job = new Job(randomUUID(), kind, model.id, model.queue);
    this.#jobs.set(job.id, job);
    this.#forgetOldest();
    for (const watcher of this.#watchers) job.listen(watcher);
    if (owner) job.listen(owner);
    const finished = this.#run(job, work);
    // Who started it hears of a failure; nobody else has to.
    const settled = finished.then(
      () => {},
      () => {},
    );
    this.#running.add(settled);
    settled.then(() => this.#running.delete(settled));
    return { job, finished };
  }

  /** Cancel everything and wait for its end. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const job of this.#jobs.values()) if (!job.ended) job.cancel();
    await Promise.all(this.#running);
  }

  async #run(
    job: Job,
    { kind, model, prompts, options, into, onRows, onFinished }: JobWork,
  ): Promise<readonly Finished[]> {
    const recording = into === undefined ? this.#recordings.start(kind) : null;
    const kept = into === undefined ? recording : new FolderSink(into);
    try {
      // Whoever started it can listen before it begins.
      await setImmediate();
      const encoded = await this.#encoded(model, prompts, job.signal);
      const finished = await model.queue.run(
        job,
        job.signal,
        () => job.moved(),
        () =>
          model.llm.capture(encoded, {
            ...options,
            signal: job.signal,
            onProgress: (progress) => job.progressed(progress),
            into: job.watch(kept ?? NOWHERE, { onRows, onFinished }),
          }),
      );
      await this.#keep(job, into ?? recording);
      await job.end({ finished });
      return finished;
    } catch (error) {
      await this.#keep(job, into ?? recording);
      await job.end({ error });
      throw error;
    }
  }

  /** Made into tokens before the engine is waited for: whoever comes behind need not wait for that. */
  async #encoded(
    { encoder }: LoadedModel,
    prompts: readonly Prompt[],
    signal: AbortSignal,
  ): Promise<Prompt[]> {
    if (prompts.every((prompt) => prompt instanceof Int32Array)) return [...prompts];
    const tokens = await encoder.encode(prompts, signal);
    return prompts.map((prompt, i) => ({ tokenIds: tokens[i]!, label: promptLabel(prompt) }));
  }

  async #keep(job: Job, kept: string | Recording | null): Promise<void> {
    const folder = kept === null || typeof kept === "string" ? kept : await kept.end();
    if (job.rows > 0 && folder !== null) job.capture = await this.#library.add(folder);
  }

  #forgetOldest(): void {
    const ended = [...this.#jobs.values()].filter((job) => job.ended);
    for (const job of ended.slice(0, Math.max(0, ended.length - MAX_ENDED))) this.#jobs.delete(job.id);
  }
}
