import type { Step } from "../../../core/engine.ts";
import { EngineError } from "../../../core/errors.ts";
import type { Plan } from "../../../core/plan.ts";
import type {
  EngineRequest,
  EngineSettings,
  EngineText,
  MediaPrompt,
  MediaSpan,
} from "../../../core/request.ts";
import type { RowBatch } from "../../../core/rows.ts";
import { deadline, stepTimeoutFor } from "../../deadline.ts";
import { Inbox } from "../../inbox.ts";
import { findPython } from "../install/python.ts";
import { engineArguments, forTask, settingsOf, type VllmOptions } from "../options.ts";
import { PluginEngine } from "../plugin-engine.ts";
import {
  encoded,
  fromWire,
  outputOf,
  type ReadyMessage,
  type RunMessage,
  tokensOf,
  understood,
  type WorkerMessage,
  wirePlan,
  wireText,
} from "../protocol.ts";
import { takeRows } from "../rows-file.ts";
import { SampleEnds } from "../sample-ends.ts";
import { warnIfUntested } from "../untested.ts";
import { WorkerProcess } from "./worker-process.ts";

/** Weights may have to be downloaded, and graphs compiled. */
const START_TIMEOUT_MS = 30 * 60_000;

/** A run that is cancelled ends with the step that goes on. */
const STOP_MS = 60_000;

type Reply = (message: WorkerMessage | { readonly type: "died"; readonly error: Error }) => void;

/** vLLM in a process of our own. */
export class VllmEngine extends PluginEngine {
  readonly logprobs = true;
  readonly settings: EngineSettings;
  readonly #worker: WorkerProcess;
  readonly #pending: Map<number, Reply>;
  readonly #state: WorkerState;
  /** In milliseconds; see {@link VllmOptions.stepTimeout}. */
  readonly #stepTimeout: number;
  #nextId = 0;
  /** Answers that somebody waits for. */
  #awaited = 0;
  #closed: Promise<void> | null = null;

  private constructor(
    worker: WorkerProcess,
    state: WorkerState,
    ready: ReadyMessage,
    source: string,
    settings: EngineSettings,
    stepTimeout: number,
  ) {
    super(ready, source, state.tokenText);
    this.#stepTimeout = stepTimeout;
    this.#worker = worker;
    this.#state = state;
    this.#pending = state.pending;
    this.settings = settings;
    // An idle engine does not keep the process alive.
    worker.unref();
  }

  /**
   * Start vLLM with a model of the Hugging Face Hub, or a folder in its format.
   *
   * @throws EngineError where there is no vLLM, it does not fit or ends; ModelError, RequestError as vLLM finds; the
   * signal's reason on abort.
   */
  static async load(model: string, options: VllmOptions = {}, signal?: AbortSignal): Promise<VllmEngine> {
    const {
      python,
      streams,
      limits = {},
      startTimeout = START_TIMEOUT_MS,
      onStart,
      stepTimeout,
      ...args
    } = options;
    const engineArgs = engineArguments(forTask(args));
    const environment = await findPython({ python });
    signal?.throwIfAborted();
    const state = new WorkerState();
    const { worker, ready } = await new Promise<{ worker: WorkerProcess; ready: ReadyMessage }>(
      (resolve, reject) => {
        const worker = new WorkerProcess(environment.python, {
          message: (message) => {
            if (message.type === "progress") onStart?.(message);
            else if (message.type === "ready") settle(() => resolve({ worker, ready: message }));
            else if (message.type === "error" && message.id === null) fail(fromWire(message.error));
            else state.receive(message);
          },
          ended: (error) => {
            fail(error);
            state.die(error);
          },
        });
        const settle = (how: () => void) => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", onAbort);
          how();
        };
        const fail = (error: unknown) =>
          settle(() => {
            // Once it is up, this is no longer what anybody waits for.
            state.final ??= error as Error;
            worker.kill();
            reject(error);
          });
        const onAbort = () => fail(signal!.reason);
        const timer = setTimeout(
          () =>
            fail(
              new EngineError(
                "ENGINE_FAILED",
                `vLLM was not ready after ${startTimeout / 1000} s (startTimeout)`,
              ),
            ),
          startTimeout,
        );
        signal?.addEventListener("abort", onAbort, { once: true });
        worker.send({ type: "start", model, engineArgs, ...(streams && { streams }), limits });
      },
    );
    warnIfUntested(ready);
    const longest = stepTimeout ?? stepTimeoutFor(ready.model.bytes);
    return new VllmEngine(worker, state, ready, model, settingsOf(args), longest);
  }

  async tokenize(texts: readonly EngineText[]): Promise<Int32Array[]> {
    const tokens = await this.#ask({ type: "tokenize", texts: texts.map(wireText) });
    return tokensOf(texts, tokens, "vLLM");
  }

  async detokenize(tokens: Int32Array): Promise<string> {
    return (await this.#ask({ type: "detokenize", tokens: [...tokens] })) as string;
  }

  protected async encodeMedia({
    prompt,
    images,
  }: MediaPrompt): Promise<{ tokens: Int32Array; media: readonly MediaSpan[] }> {
    const { tokens, media } = understood(
      encoded,
      await this.#ask({ type: "encode", prompt, images }),
      "vLLM",
    );
    return { tokens: Int32Array.from(tokens), media };
  }

  protected async *steps(
    requests: readonly EngineRequest[],
    plan: Plan,
    { signal }: { signal?: AbortSignal },
  ): AsyncGenerator<Step, void, void> {
    signal?.throwIfAborted();
    this.#assertAlive();
    const id = this.#nextId++;
    const inbox = new Inbox<RunMessage | { readonly type: "died"; readonly error: Error }>();
    this.#pending.set(id, (message) => inbox.put(message as RunMessage));
    const cancel = () => this.#worker.send({ type: "cancel", id });
    signal?.addEventListener("abort", cancel, { once: true });
    let over = false;
    const next = async (longest: number, what: string) => {
      const late = deadline(longest, () => this.#giveUp(what, longest));
      try {
        const message = await this.#awaiting(inbox.take());
        over = message.type === "end" || message.type === "error" || message.type === "died";
        return message;
      } finally {
        clearInterval(late);
      }
    };
    this.#worker.send({
      type: "run",
      id,
      requests: requests.map(wireRequest),
      plan: wirePlan(plan, requests),
    });
    const ends = new SampleEnds(requests);
    try {
      while (!over) {
        const message = await next(this.#stepTimeout, "finished no step of a run");
        // What was computed before the abort is no longer wanted.
        signal?.throwIfAborted();
        switch (message.type) {
          case "rows":
            yield* ends.arrived(await this.#rows(message.path, plan));
            break;
          case "ended":
            yield* ends.counted(message);
            break;
          case "steps": {
            const outputs = message.finished.map((end) => ({ end, output: outputOf(end) }));
            for (const { end, output } of outputs)
              if (!output) ends.lost(end.sample, `vLLM gave its request up (${end.reason})`);
            const finished = outputs.flatMap(({ output }) => output ?? []);
            yield* ends.stepped(message.drawn, message.processed, finished);
            break;
          }
          case "error":
            throw fromWire(message.error);
          case "died":
            throw this.#closed ? closedError() : message.error;
        }
      }
      ends.assertAll();
    } finally {
      signal?.removeEventListener("abort", cancel);
      if (!over) {
        if (!signal?.aborted) cancel();
        // The rows that still come are deleted with the worker's folder, or here.
        while (!over) {
          const message = await next(STOP_MS, "did not stop a run");
          if (message.type === "rows") await takeRows(message.path, { ...plan, streams: [] }).catch(() => {});
        }
      }
      this.#pending.delete(id);
    }
  }

  /** The worker's folder goes with it: what cannot be read then was not damaged. */
  async #rows(path: string, plan: Plan): Promise<RowBatch> {
    try {
      return await takeRows(path, plan);
    } catch (error) {
      throw this.#closed ? closedError() : error;
    }
  }

  /** The worker hangs: it is ended. @param what it did not do. */
  #giveUp(what: string, ms: number): void {
    this.#state.final ??= new EngineError(
      "ENGINE_CRASHED",
      `vLLM ${what} within ${Math.round(ms / 1000)} s and was stopped; load the model again (MOESCOPE_DEBUG=1 shows all of vLLM's output)`,
      { retryable: true },
    );
    this.#worker.kill();
  }

  close(): Promise<void> {
    this.#closed ??= this.#state.dead ? Promise.resolve() : this.#worker.close();
    return this.#closed;
  }

  #ask(message: { readonly type: string } & Record<string, unknown>): Promise<unknown> {
    this.#assertAlive();
    const id = this.#nextId++;
    const answer = new Promise((resolve, reject) => {
      this.#pending.set(id, (reply) => {
        this.#pending.delete(id);
        if (reply.type === "reply") resolve(reply.value);
        else if (reply.type === "error") reject(fromWire(reply.error));
        else reject(this.#closed ? closedError() : (reply as { error: Error }).error);
      });
      this.#worker.send({ ...message, id });
    });
    return this.#awaiting(answer);
  }

  /** The worker keeps the process alive while somebody waits for it, and not while a stream waits for its reader. */
  async #awaiting<R>(answer: Promise<R>): Promise<R> {
    if (this.#awaited++ === 0) this.#worker.ref();
    try {
      return await answer;
    } finally {
      if (--this.#awaited === 0) this.#worker.unref();
    }
  }

  #assertAlive(): void {
    if (this.#closed) throw closedError();
    if (this.#state.dead) throw this.#state.dead;
  }
}

/** What is known of a worker, from its start on. */
class WorkerState {
  readonly pending = new Map<number, Reply>();
  readonly tokenText = new Map<number, string>();
  /** The last thing it said before it ended, if that was an error. */
  final: Error | null = null;
  dead: Error | null = null;

  receive(message: WorkerMessage): void {
    if (message.type === "steps" || message.type === "reply")
      for (const [token, text] of message.newTokens) this.tokenText.set(token, text);
    if ("id" in message && message.id !== null) this.pending.get(message.id)?.(message);
  }

  die(error: Error): void {
    this.dead = this.final ?? error;
    for (const reply of [...this.pending.values()]) reply({ type: "died", error: this.dead });
  }
}

const wireRequest = ({ tokens, media, maxTokens, sampling, logprobs }: EngineRequest) => ({
  ...(media ?? { tokens: [...tokens] }),
  maxTokens,
  sampling,
  ...(logprobs && { logprobs }),
});

const closedError = () => new EngineError("ENGINE_CLOSED", "the model was closed; load it again to use it");
