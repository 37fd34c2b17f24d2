import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { Plan } from "../../capture/plan.ts";
import * as errors from "../../errors.ts";
import { packageRoot } from "../../package-root.ts";
import type { Engine, EngineRequest, EngineSettings, ModelInfo, Step } from "../engine.ts";
import { abortBytes, raiseAbort } from "./abort.ts";
import { type GgufHeader, modelInfo, readHeader } from "./gguf.ts";
import { findLibrary } from "./library.ts";
import { hashOf } from "./model-hash.ts";
import {
  CONTROL,
  type FromHost,
  type HostOptions,
  type Ready,
  type ToHost,
  type WireError,
} from "./protocol.ts";
import type { Strategy } from "./tap.ts";

const { EngineError, ModelError, RequestError } = errors;

/** How to load a model into the embedded llama.cpp. */
export interface LlamaOptions {
  /** Tokens the key-value cache holds for all samples that run together; the longest sample. Default: 4096, or less if the model was trained for less. */
  readonly contextSize?: number;
  /** Samples run together at most. Default 4. */
  readonly parallel?: number;
  /** Tokens a step holds at most (llama.cpp's ubatch). Default 512. */
  readonly batchSize?: number;
  /** Threads that compute. Default: one a core. */
  readonly threads?: number;
  /** Element type of the key-value cache. Default f16, as llama.cpp; f32 for comparisons against references. */
  readonly kvType?: "f32" | "f16" | "q8_0";
  /** Default: as llama.cpp decides; false for comparisons against references. */
  readonly flashAttention?: boolean;
  /** How captured tensors leave the graph. Default `auto`. */
  readonly strategy?: Strategy;
}

type Reply = (message: FromHost | { type: "died"; error: Error }) => void;

/** llama.cpp in a worker thread of this process. */
export class LlamaEngine implements Engine {
  readonly kind = "llama.cpp";
  readonly version: string;
  readonly model: ModelInfo;
  readonly contextSize: number;
  readonly settings: EngineSettings;
  readonly chatTemplate: string | null;
  readonly specialTokens: { readonly bos: string; readonly eos: string };
  readonly #worker: Worker;
  readonly #control: Int32Array;
  readonly #abort: SharedArrayBuffer;
  readonly #pending = new Map<number, Reply>();
  readonly #tokenText = new Map<number, string>();
  readonly #files: readonly string[];
  #hash: Promise<string | null> | null = null;
  #nextId = 0;
  #dead: Error | null = null;
  #closed: Promise<void> | null = null;
  /** Resolves when the run before has ended: one at a time. */
  #lastRun: Promise<void> = Promise.resolve();

  private constructor(
    worker: Worker,
    options: HostOptions,
    model: ModelInfo,
    files: readonly string[],
    ready: Ready,
  ) {
    this.#worker = worker;
    this.#files = files;
    this.#control = new Int32Array(options.control);
    this.#abort = options.abort;
    this.version = ready.version;
    this.contextSize = ready.contextSize;
    this.settings = settingsOf(options);
    this.chatTemplate = ready.chatTemplate;
    this.specialTokens = ready.specialTokens;
    this.model = { ...model, vocabSize: ready.vocabSize };
    worker.on("message", (message: FromHost) => this.#receive(message));
    worker.on("error", (error) => this.#die(error));
    worker.on("exit", (code) => this.#die(new Error(`the worker thread ended with code ${code}`)));
    // An idle engine does not keep the process alive.
    worker.unref();
  }

  /**
   * Load a GGUF file (or the first part of a split one).
   *
   * @throws ModelError, EngineError, RequestError.
   */
  static async load(path: string, options: LlamaOptions = {}, signal?: AbortSignal): Promise<LlamaEngine> {
    signal?.throwIfAborted();
    const header = await readHeader(path);
    const model = modelInfo(header, path);
    const host = hostOptions(header, model, options);
    const worker = new Worker(join(packageRoot, "dist", "engines", "llama", "worker.js"), {
      workerData: { ...host, layers: model.layers },
      name: "moescope llama.cpp",
      // Flags of the host program (--eval, --input-type) are not for the worker.
      execArgv: [],
    });
    const ready = await firstMessage(worker, signal);
    return new LlamaEngine(worker, host, model, header.files, ready);
  }

  async tokenize(
    text: string,
    options: { addSpecial?: boolean; parseSpecial?: boolean } = {},
  ): Promise<Int32Array> {
    const { addSpecial = true, parseSpecial = true } = options;
    return (await this.#ask({
      type: "tokenize",
      id: this.#nextId++,
      text,
      addSpecial,
      parseSpecial,
    })) as Int32Array;
  }

  async detokenize(tokens: Int32Array): Promise<string> {
    const bad = tokens.find((id) => id < 0 || id >= this.model.vocabSize);
    if (bad !== undefined)
      throw new RequestError(
        "INVALID_ARGUMENT",
        `token id ${bad} is outside the vocabulary (0 to ${this.model.vocabSize - 1})`,
      );
    return (await this.#ask({ type: "detokenize", id: this.#nextId++, tokens })) as string;
  }

  tokenText(tokenId: number): string {
    return this.#tokenText.get(tokenId) ?? `<${tokenId}>`;
  }

  modelHash(): Promise<string | null> {
    this.#hash ??= hashOf(this.#files);
    return this.#hash;
  }

  async *run(
    requests: readonly EngineRequest[],
    plan: Plan,
    { signal }: { signal?: AbortSignal } = {},
  ): AsyncGenerator<Step, void, void> {
    const before = this.#lastRun;
    let release!: () => void;
    this.#lastRun = new Promise((resolve) => {
      release = resolve;
    });
    await before;
    try {
      signal?.throwIfAborted();
      yield* this.#exchange(requests, plan, signal);
    } finally {
      release();
    }
  }

  async *#exchange(
    requests: readonly EngineRequest[],
    plan: Plan,
    signal?: AbortSignal,
  ): AsyncGenerator<Step, void, void> {
    this.#assertAlive();
    const id = this.#nextId++;
    const inbox: (FromHost | { type: "died"; error: Error })[] = [];
    let wake = () => {};
    this.#pending.set(id, (message) => {
      inbox.push(message);
      wake();
    });
    const stop = () => {
      Atomics.store(this.#control, CONTROL.aborted, 1);
      raiseAbort(this.#abort);
    };
    signal?.addEventListener("abort", stop, { once: true });
    let ended = false;
    const next = async () => {
      while (inbox.length === 0)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      const message = inbox.shift()!;
      ended = message.type !== "steps";
      return message;
    };
    this.#send({ type: "run", id, requests, plan });
    this.#worker.ref();
    try {
      for (;;) {
        const message = await next();
        // What was computed before the abort is no longer wanted.
        signal?.throwIfAborted();
        if (message.type === "steps") {
          yield message.steps;
          Atomics.add(this.#control, CONTROL.taken, 1);
          Atomics.notify(this.#control, CONTROL.taken);
        } else if (message.type === "end") {
          // Closing stops a run like an abort, and the host does not know the difference.
          if (this.#closed) throw closedError();
          return;
        } else throw message.type === "error" ? fromWire(message.error) : (message as { error: Error }).error;
      }
    } finally {
      signal?.removeEventListener("abort", stop);
      if (!ended) {
        stop();
        Atomics.notify(this.#control, CONTROL.taken);
        while (!ended) await next();
      }
      Atomics.store(this.#control, CONTROL.aborted, 0);
      raiseAbort(this.#abort, false);
      this.#pending.delete(id);
      if (this.#pending.size === 0) this.#worker.unref();
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    if (this.#dead) return;
    // A run that is going on ends first: its loop sees the abort.
    Atomics.store(this.#control, CONTROL.aborted, 1);
    raiseAbort(this.#abort);
    const exited = new Promise<void>((resolve) => this.#worker.once("exit", () => resolve()));
    this.#worker.ref();
    this.#send({ type: "close" });
    await exited;
  }

  #ask(message: Extract<ToHost, { type: "tokenize" | "detokenize" }>): Promise<Int32Array | string> {
    this.#assertAlive();
    return new Promise((resolve, reject) => {
      this.#worker.ref();
      this.#pending.set(message.id, (reply) => {
        this.#pending.delete(message.id);
        if (this.#pending.size === 0) this.#worker.unref();
        if (reply.type === "reply") resolve(reply.value);
        else reject(reply.type === "error" ? fromWire(reply.error) : (reply as { error: Error }).error);
      });
      this.#send(message);
    });
  }

  #send(message: ToHost): void {
    this.#worker.postMessage(message);
  }

  #receive(message: FromHost): void {
    const fresh =
      message.type === "steps" ? message.steps.newTokens : message.type === "reply" ? message.newTokens : [];
    for (const [token, text] of fresh) this.#tokenText.set(token, text);
    if (message.type !== "ready" && message.id !== null) this.#pending.get(message.id)?.(message);
  }

  #die(cause: Error): void {
    if (this.#dead) return;
    this.#dead = this.#closed
      ? closedError()
      : new EngineError("ENGINE_CRASHED", `llama.cpp's thread died: ${cause.message}; load the model again`, {
          cause,
          retryable: true,
        });
    const error = this.#dead;
    for (const reply of [...this.#pending.values()]) reply({ type: "died", error });
  }

  #assertAlive(): void {
    if (this.#dead) throw this.#dead;
    if (this.#closed) throw closedError();
  }
}

function hostOptions(header: GgufHeader, model: ModelInfo, options: LlamaOptions): HostOptions {
  const whole = (name: keyof LlamaOptions, value: number, max: number): number => {
    if (Number.isInteger(value) && value >= 1 && value <= max) return value;
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${name} must be a whole number from 1 to ${max}, got ${value}`,
    );
  };
  const contextSize = whole(
    "contextSize",
    options.contextSize ?? Math.min(4096, model.contextLength || 4096),
    1 << 30,
  );
  const kvType = options.kvType ?? "f16";
  if (!["f32", "f16", "q8_0"].includes(kvType))
    throw new RequestError("INVALID_ARGUMENT", `kvType must be f32, f16 or q8_0, got ${kvType}`);
  checkMemory(header, model, contextSize, kvType);
  return {
    files: findLibrary(),
    path: header.files[0]!,
    contextSize,
    // llama.cpp's LLAMA_MAX_SEQ is 256.
    parallel: whole("parallel", options.parallel ?? 4, 256),
    batchSize: whole("batchSize", Math.min(options.batchSize ?? 512, contextSize), 1 << 16),
    threads: whole("threads", options.threads ?? availableParallelism(), 512),
    kvType,
    flashAttention: options.flashAttention ?? "auto",
    strategy: options.strategy ?? "auto",
    control: new SharedArrayBuffer(CONTROL.bytes),
    abort: new SharedArrayBuffer(abortBytes),
  };
}

/** Threads and the way tensors leave the graph change no value. */
function settingsOf({
  contextSize,
  parallel,
  batchSize,
  kvType,
  flashAttention,
}: HostOptions): EngineSettings {
  const left = flashAttention === "auto" ? {} : { flashAttention };
  return { contextSize, parallel, batchSize, kvType, ...left };
}

/** Refuse a cache that cannot exist: the operating system might promise the memory and kill the process later. */
function checkMemory(
  header: GgufHeader,
  model: ModelInfo,
  contextSize: number,
  kvType: "f32" | "f16" | "q8_0",
): void {
  const key = (name: string) => {
    const value = header.metadata[`${model.architecture}.${name}`];
    return Number(Array.isArray(value) ? Math.max(...value.map(Number)) : (value ?? 0));
  };
  const heads = key("attention.head_count_kv") || key("attention.head_count");
  const headSize = key("attention.key_length") || model.hiddenSize / Math.max(1, key("attention.head_count"));
  // MLA caches one compressed vector per token.
  const values = key("attention.kv_lora_rank") || 2 * heads * headSize;
  const bytes = model.layers * contextSize * values * { f32: 4, f16: 2, q8_0: 34 / 32 }[kvType];
  const memory = Math.min(totalmem(), process.constrainedMemory?.() || Number.POSITIVE_INFINITY);
  const gib = (n: number) => `${(n / 2 ** 30).toFixed(1)} GiB`;
  if (bytes > memory)
    throw new EngineError(
      "OUT_OF_MEMORY",
      `a context of ${contextSize} tokens needs about ${gib(bytes)} for the key-value cache, the machine has ` +
        `${gib(memory)}; use a smaller contextSize or kvType q8_0`,
    );
}

function firstMessage(worker: Worker, signal?: AbortSignal): Promise<Ready> {
  return new Promise((resolve, reject) => {
    const settle = (outcome: () => void) => {
      worker.off("message", onMessage).off("error", onError).off("exit", onExit);
      signal?.removeEventListener("abort", onAbort);
      outcome();
    };
    const onMessage = (message: FromHost) =>
      settle(() => {
        if (message.type === "ready") resolve(message.ready);
        else
          reject(
            message.type === "error" ? fromWire(message.error) : new Error(`unexpected ${message.type}`),
          );
      });
    const died = (what: string, cause?: Error) =>
      settle(() => reject(new EngineError("ENGINE_CRASHED", `llama.cpp's thread ${what}`, { cause })));
    const onError = (cause: Error) => died(`could not start: ${cause.message}`, cause);
    const onExit = (code: number) => died(`ended with code ${code} while loading`);
    const onAbort = () => {
      settle(() => reject(signal!.reason));
      void worker.terminate();
    };
    signal?.addEventListener("abort", onAbort);
    worker.on("message", onMessage).on("error", onError).on("exit", onExit);
  });
}

const closedError = () => new EngineError("ENGINE_CLOSED", "the model was closed; load it again to use it");

/** An error of the other thread as the class it was there. */
function fromWire({ name, code, message, stack }: WireError): Error {
  const cause = Object.assign(new Error(message), { name, stack });
  if (code === null)
    return new EngineError("ENGINE_FAILED", `llama.cpp's thread failed: ${message}`, { cause });
  if (name === "ModelError") return new ModelError(code, message, { cause });
  if (name === "RequestError") return new RequestError(code, message, { cause });
  return new EngineError(code, message, { cause });
}
