import { setTimeout as wait } from "node:timers/promises";
import type { AnalyzeProgress } from "../analysis/analyze.ts";
import type { Answer } from "./answer.ts";
import { ByteCache } from "./byte-cache.ts";
import { type FoundCapture, findCapture, findCaptures, type Root, versionOf } from "./capture-folders.ts";
import type { QuestionName, Questions } from "./protocol.ts";
import { ServerError } from "./server-error.ts";
import { WorkerLane } from "./worker-lane.ts";

/** Answers that are kept, in bytes: the views of a large capture several times over. */
const MAX_CACHED = 256 << 20;
/** Reading is quick; what takes this long (ms) is stuck on a disk. */
const READ_MS = 60_000;
/** Analysing 100,000 tokens of 48 layers with all its tests takes minutes. */
const ANALYSE_MS = 30 * 60_000;
/** How long a list of folders is taken for true, ms. */
const LIST_MS = 500;

/**
 * Questions that may take minutes. The others wait for none of them: a map of usage reads a whole capture too, but in
 * seconds, and is what people look at while the analysis runs.
 */
const HEAVY: ReadonlySet<QuestionName> = new Set([
  "coactivation",
  "analysis",
  "analysisLayer",
  "atlas",
  "comparison",
]);

/** The captures below some folders, and answers about them: each computed once, off this thread. */
export class CaptureLibrary {
  readonly #roots: readonly Root[];
  readonly #reader: WorkerLane;
  readonly #analyst: WorkerLane;
  readonly #cache = new ByteCache<Answer>(MAX_CACHED);
  /** Questions that are being answered: who asks the same waits for the same answer. */
  readonly #asked = new Map<string, Promise<Answer>>();
  readonly #progress = new Map<string, AnalyzeProgress>();
  #found = new Map<string, FoundCapture>();
  #foundAt = -Infinity;
  #finding: Promise<void> | null = null;

  /** @param script the worker's. */
  constructor(roots: readonly Root[], script: URL) {
    this.#roots = roots;
    this.#reader = new WorkerLane(script, READ_MS);
    this.#analyst = new WorkerLane(script, ANALYSE_MS);
  }

  /** Bytes of answers that are kept. */
  get cachedBytes(): number {
    return this.#cache.bytes;
  }

  async list(): Promise<Answer> {
    await this.#find(true);
    return this.#reader.ask("list", { found: [...this.#found.values()] });
  }

  /** @throws ServerError `NOT_FOUND`. */
  async capture(id: string): Promise<FoundCapture> {
    let found = this.#found.get(id);
    let version = found && (await versionOf(found.folder));
    if (!found || !version) {
      await this.#find(false);
      found = this.#found.get(id);
      version = found && (await versionOf(found.folder));
    }
    if (!found || !version)
      throw new ServerError("NOT_FOUND", `there is no capture ${id}; GET /api/captures lists them`);
    return { ...found, version };
  }

  /** Take in a capture that was just written. @returns its id. */
  async add(folder: string): Promise<string | null> {
    const found = await findCapture(this.#roots, folder);
    if (found) this.#found.set(found.id, found);
    return found?.id ?? null;
  }

  ask<Q extends QuestionName>(name: Q, question: Questions[Q]): Promise<Answer> {
    const key = keyOf(name, question);
    const cached = this.#cache.get(key);
    if (cached) return Promise.resolve(cached);
    const asked = this.#asked.get(key);
    if (asked) return asked;
    const lane = HEAVY.has(name) ? this.#analyst : this.#reader;
    const answer = lane.ask(name, question, (progress) => this.#progress.set(key, progress));
    this.#asked.set(key, answer);
    const done = () => {
      this.#asked.delete(key);
      this.#progress.delete(key);
    };
    answer.then((value) => {
      done();
      this.#cache.set(key, value, value.body.byteLength);
    }, done);
    return answer;
  }

  /** An answer, or how far it is when it takes longer than `ms`; it is computed all the same. */
  async askPatiently<Q extends QuestionName>(
    name: Q,
    question: Questions[Q],
    ms: number,
  ): Promise<Answer | AnalyzeProgress> {
    const timer = new AbortController();
    const answer = this.ask(name, question);
    const late = wait(ms, null, { signal: timer.signal, ref: false }).catch(() => null);
    const first = await Promise.race([answer, late]);
    timer.abort();
    // An error that comes after that is given to whoever asks next.
    answer.catch(() => {});
    return first ?? this.#progress.get(keyOf(name, question)) ?? { done: 0, total: 0 };
  }

  async close(): Promise<void> {
    await Promise.all([this.#reader.close(), this.#analyst.close()]);
  }

  async #find(now: boolean): Promise<void> {
    if (!now && performance.now() - this.#foundAt < LIST_MS) return;
    this.#finding ??= findCaptures(this.#roots)
      .then((found) => {
        this.#found = new Map(found.map((one) => [one.id, one]));
        this.#foundAt = performance.now();
      })
      .finally(() => {
        this.#finding = null;
      });
    await this.#finding;
  }
}

const keyOf = (name: QuestionName, question: object) => `${name} ${JSON.stringify(question)}`;
