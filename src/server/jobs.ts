import { randomUUID } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { FolderSink } from "../capture/folder/folder-sink.ts";
import type { Finished } from "../core/request.ts";
import type { RunOptions } from "../run/language-model.ts";
import type { Prompt } from "../run/prompts/prompt-object.ts";
import type { Job as JobFacts } from "./api/jobs.ts";
import type { CaptureLibrary } from "./capture-library.ts";
import { type FinishListener, Job, type JobListener, type RowListener } from "./job.ts";
import type { LoadedModel } from "./models.ts";
import type { Recordings } from "./recordings.ts";
import { ServerError } from "./server-error.ts";

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
/** A recording is written in files of this size, which memory holds while it runs. */
const RECORDING_SHARD = 1 << 20;

/** Everything that runs here, or did a while ago. */
export class Jobs {
  readonly #library: CaptureLibrary;
  readonly #recordings: Recordings;
  /** Oldest first. */
  readonly #jobs = new Map<string, Job>();
  readonly #running = new Set<Promise<unknown>>();
  readonly #watchers = new Set<JobListener>();
  #closed = false;

  constructor(library: CaptureLibrary, recordings: Recordings) {
    this.#library = library;
    this.#recordings = recordings;
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
    const folder = into ?? this.#recordings.folder(kind);
    try {
      // Whoever started it can listen before it begins.
      await setImmediate();
      const finished = await model.queue.run(
        job,
        job.signal,
        () => job.moved(),
        () =>
          model.llm.capture(prompts, {
            ...options,
            signal: job.signal,
            onProgress: (progress) => job.progressed(progress),
            into: job.watch(
              new FolderSink(folder, into === undefined ? { shardBytes: RECORDING_SHARD } : {}),
              { onRows, onFinished },
            ),
          }),
      );
      await this.#keep(job, folder, into === undefined);
      await job.end({ finished });
      return finished;
    } catch (error) {
      await this.#keep(job, folder, into === undefined);
      await job.end({ error });
      throw error;
    }
  }

  async #keep(job: Job, folder: string, recording: boolean): Promise<void> {
    if (recording) await this.#recordings.keep(folder, job.rows);
    if (job.rows > 0) job.capture = await this.#library.add(folder);
  }

  #forgetOldest(): void {
    const ended = [...this.#jobs.values()].filter((job) => job.ended);
    for (const job of ended.slice(0, Math.max(0, ended.length - MAX_ENDED))) this.#jobs.delete(job.id);
  }
}
