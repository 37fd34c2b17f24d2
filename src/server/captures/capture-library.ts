import { setTimeout as wait } from "node:timers/promises";
import type { AnalyzeProgress } from "../../analysis/analyze.ts";
import { ServerError } from "../host/server-error.ts";
import { captureFields, type Question } from "../questions/question.ts";
import type { Answer } from "./answer.ts";
import { ByteCache } from "./byte-cache.ts";
import { type FoundCapture, findCapture, findCaptures, type Root, versionOf } from "./capture-folders.ts";
import type { Inquiry } from "./protocol.ts";
import { WorkerLane } from "./worker-lane.ts";

/** Answers that are kept, in bytes: the views of a large capture several times over. */
const MAX_CACHED = 256 << 20;
/** Reading is quick; what takes this long (ms) is stuck on a disk. */
const READ_MS = 60_000;
/** Analysing 100,000 tokens of 48 layers with all its tests takes minutes. */
const ANALYSE_MS = 30 * 60_000;
/** How long a list of folders is taken for true, ms. */
const LIST_MS = 500;

/** An answer, and what changes when it would be another. */
export interface Answered {
  readonly answer: Answer;
  /** Of its captures; `null` where it may change at any time. */
  readonly version: string | null;
}

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

  /**
   * Ask a question. Who asks the same at the same time waits for the same answer.
   *
   * @param asked what its schema made of the request.
   * @param rangeOf gives the `Range` header that goes with a version, for an answer that is read in parts.
   */
  async ask(
    question: Question,
    asked: Readonly<Record<string, unknown>>,
    rangeOf: (version: string | null) => string | null = () => null,
  ): Promise<Answered> {
    const { version, key, inquiry } = await this.#inquire(question, asked, rangeOf);
    return { answer: await this.#answer(question, key, inquiry), version };
  }

  /** An answer, or how far it is when it takes longer than `ms`; it is computed all the same. */
  async askPatiently(
    question: Question,
    asked: Readonly<Record<string, unknown>>,
    ms: number,
  ): Promise<Answered | AnalyzeProgress> {
    const { version, key, inquiry } = await this.#inquire(question, asked, () => null);
    const timer = new AbortController();
    const answer = this.#answer(question, key, inquiry);
    const late = wait(ms, null, { signal: timer.signal, ref: false }).catch(() => null);
    const first = await Promise.race([answer, late]);
    timer.abort();
    // An error that comes after that is given to whoever asks next.
    answer.catch(() => {});
    return first ? { answer: first, version } : (this.#progress.get(key) ?? { done: 0, total: 0 });
  }

  async close(): Promise<void> {
    await Promise.all([this.#reader.close(), this.#analyst.close()]);
  }

  async #inquire(
    question: Question,
    asked: Readonly<Record<string, unknown>>,
    rangeOf: (version: string | null) => string | null,
  ) {
    if (question.aboutAll) await this.#find(true);
    const captures: Record<string, FoundCapture> = {};
    for (const field of captureFields(question)) captures[field] = await this.capture(asked[field] as string);
    const found = question.aboutAll ? [...this.#found.values()] : [];
    const versions = Object.values(captures).map(({ version }) => version);
    const version = question.aboutAll ? null : versions.join("-");
    const range = rangeOf(version);
    const inquiry: Inquiry = { path: question.path, asked, captures, found, range };
    return {
      inquiry,
      version,
      key: JSON.stringify([question.path, asked, versions, range]),
    };
  }

  #answer(question: Question, key: string, inquiry: Inquiry): Promise<Answer> {
    // A question that may take minutes is not in the way of the others.
    const lane = question.slow ? this.#analyst : this.#reader;
    if (question.aboutAll) return lane.ask(inquiry, () => {});
    const cached = this.#cache.get(key);
    if (cached) return Promise.resolve(cached);
    const asked = this.#asked.get(key);
    if (asked) return asked;
    const answer = lane.ask(inquiry, (progress) => this.#progress.set(key, progress));
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
