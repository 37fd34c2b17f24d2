import type { Capture } from "../capture/capture.ts";
import type { CaptureWith } from "../capture/capture-with.ts";
import { FolderSink } from "../capture/folder/folder-sink.ts";
import { openCapture } from "../capture/folder/folder-source.ts";
import { ResumeSink } from "../capture/folder/resume-sink.ts";
import { LastRows } from "../capture/last-rows.ts";
import { MemorySink } from "../capture/memory.ts";
import { RowBudget } from "../capture/row-budget.ts";
import { type Edit, editsField } from "../core/edits.ts";
import type { EmbeddingInfo, Task } from "../core/embedding.ts";
import type { Engine, EngineCall, GraphTensor } from "../core/engine.ts";
import { EngineError, RequestError } from "../core/errors.ts";
import type { ModelInfo } from "../core/model-info.ts";
import { argument, text } from "../core/options.ts";
import type { PlanOptions } from "../core/plan.ts";
import type { Sink } from "../core/sink.ts";
import type { DEFAULT_STREAMS } from "../core/streams.ts";
import { assertInVocabulary } from "../core/token-ids.ts";
import { driveRun } from "./drive-run.ts";
import type { GenerateOptions } from "./generate-options.ts";
import { headerOf, type PreparedRun, prepareRun } from "./prepare-run.ts";
import { encodePrompts } from "./prompts/prompt.ts";
import type { Prompt } from "./prompts/prompt-object.ts";
import {
  type CaptureOptions,
  type RunOptions,
  readCaptureOptions,
  readEncodeOptions,
  readResumeOptions,
  readStreamOptions,
  readTensorsOptions,
  readTokenizeOptions,
  type TokenizeOptions,
} from "./run-options.ts";
import { RunQueue } from "./run-queue.ts";
import { assertSameModel, storedRun } from "./stored-run.ts";
import { StreamReader } from "./stream-reader.ts";
import { type TokenEvent, tokenEvent } from "./token-event.ts";
import { withSink } from "./with-sink.ts";

/** Names of streams; those that are only known when it runs are checked then. */
type StreamList = NonNullable<PlanOptions["streams"]>;

/**
 * A loaded model: capture from it, stream it, close it. Made by `load`.
 *
 * @example
 * import { load } from "moescope";
 * await using model = await load("model.gguf"); // closed at the end of the block
 * console.log(model.info.moe?.experts, "experts in layers", model.info.moe?.layers);
 * const states = await model.capture(["The sea is calm."], { streams: ["hidden_states"], layers: [0, -1] });
 * console.log(states.hiddenStates.get(0)?.dims);
 */
export class LanguageModel implements AsyncDisposable {
  readonly #engine: Engine;
  readonly #queue = new RunQueue();

  /** @internal Users get models from `load`. */
  static of(engine: Engine): LanguageModel {
    return new LanguageModel(engine);
  }

  private constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** What the model is: its architecture, layers, experts and how its routers choose. */
  get info(): ModelInfo {
    return this.#engine.model;
  }

  /** What runs the model: its name in the registry, e.g. `llama.cpp`, and its version. */
  get engine(): { readonly kind: string; readonly version: string } {
    return { kind: this.#engine.kind, version: this.#engine.version };
  }

  /** What the model was loaded for; with `embed` nothing can be generated. */
  get task(): Task {
    return this.#engine.task ?? "generate";
  }

  /** How the `embedding` of an output is made; `null`: outputs have none. */
  get embedding(): EmbeddingInfo | null {
    return this.#engine.embedding ?? null;
  }

  /** GPUs that hold part of the model, e.g. `CUDA0 (NVIDIA H100)`; empty: the CPU alone. */
  get devices(): readonly string[] {
    return this.#engine.devices ?? [];
  }

  /** Longest sample (prompt and continuation), in tokens. */
  get contextSize(): number {
    return this.#engine.contextSize;
  }

  /**
   * The token ids of a text.
   *
   * @throws RequestError `INVALID_ARGUMENT` for what is no text, and for an unknown option.
   * @example
   * const ids = await llm.tokenize("The sea is calm.", { addSpecial: false });
   * console.log(Array.from(ids, (id) => llm.tokenText(id)));
   */
  async tokenize(content: string, options?: TokenizeOptions): Promise<Int32Array> {
    const asked = { addSpecial: true, parseSpecial: true, ...readTokenizeOptions(options) };
    const [tokens] = await this.#engine.tokenize([
      { ...asked, text: argument("tokenize", "the text", content, text) },
    ]);
    return tokens!;
  }

  /**
   * The token ids a prompt goes into the model as, with what the tokenizer or the chat template adds.
   *
   * @throws RequestError `INVALID_ARGUMENT` as {@link capture}.
   */
  async encode(prompt: Prompt): Promise<Int32Array> {
    const [tokens] = await this.encodeAll([prompt]);
    return tokens!;
  }

  /**
   * {@link encode} for a list, in few messages: thousands of prompts take no longer than a long text does. A run that
   * goes on meanwhile is held up for moments only.
   *
   * @throws RequestError `INVALID_ARGUMENT` as {@link capture}, naming the prompt; the signal's reason on abort.
   * @example
   * const lengths = (await llm.encodeAll(prompts)).map((tokens) => tokens.length);
   */
  async encodeAll(prompts: readonly Prompt[], options?: { signal?: AbortSignal }): Promise<Int32Array[]> {
    const { signal } = readEncodeOptions(options);
    const all: Int32Array[] = [];
    for await (const { tokens } of encodePrompts(this.#engine, prompts, signal)) all.push(tokens);
    return all;
  }

  /**
   * The text of token ids.
   *
   * @throws RequestError `INVALID_ARGUMENT` naming an id outside the vocabulary.
   */
  async detokenize(tokens: Int32Array | readonly number[]): Promise<string> {
    const ids = Int32Array.from(tokens);
    assertInVocabulary(ids, this.#engine.model.vocabSize, "the list of tokens");
    return this.#engine.detokenize(ids);
  }

  /**
   * The tensors of the model's computation that have a name, and which of them `capture` takes as `activation:<name>`.
   * A model on the GPU may compute some of them in one with others: what is listed is what this model does as it was
   * loaded.
   *
   * @throws RequestError `INVALID_ARGUMENT` where the engine does not tell.
   * @example
   * for (const { name, shape, layers, capturable } of await llm.tensors())
   *   if (capturable) console.log(`activation:${name}`, shape, layers.length);
   */
  async tensors(options: { signal?: AbortSignal } = {}): Promise<readonly GraphTensor[]> {
    options = readTensorsOptions(options);
    if (this.#engine.tensors) return this.#engine.tensors(this.#call(options));
    throw new RequestError("INVALID_ARGUMENT", `${this.#engine.kind} does not tell the tensors it computes`);
  }

  /** Text of one token that was tokenised or run; bytes that are no UTF-8 on their own appear as `<0xE2>`. */
  tokenText(tokenId: number): string {
    return this.#engine.tokenText(tokenId);
  }

  /**
   * Run prompts and capture what the plan names, in memory or in the folder `into`. A model has one run at a time;
   * others wait, in the order in which their prompts were ready, and a signal ends their waiting at once.
   *
   * @throws RequestError for an unknown stream or layer, a prompt beyond the context; EngineError `ENGINE_BUSY` where
   * the wait would never end: for a run whose own sink asks, or a stream that nobody reads; the signal's reason on abort.
   * @example
   * const texts = [{ prompt: "The sea is calm.", label: "prose" }, "import numpy as np"];
   * const { rows, routerLogits, outputs } = await llm.capture(texts, { maxTokens: 8, signal: AbortSignal.timeout(60_000) });
   * console.log(routerLogits.get(3)?.dims, rows.length, outputs[0]?.text);
   */
  capture<const Streams extends StreamList = typeof DEFAULT_STREAMS>(
    prompts: Prompt | readonly Prompt[],
    options?: Omit<CaptureOptions, "streams" | "into"> & {
      readonly streams?: Streams;
      /** A folder to stream to, by its path or as a sink. Default: memory. */
      readonly into?: string | FolderSink;
    },
  ): Promise<CaptureWith<Streams[number]>>;
  /**
   * Run prompts and hand the rows to a sink; resolves to what the sink makes of them.
   *
   * @example
   * import { usageReducer } from "moescope/analysis";
   * const usage = await llm.capture(prompts, { into: usageReducer() }); // counts, however many prompts
   */
  capture<R>(prompts: Prompt | readonly Prompt[], options: RunOptions & { into: Sink<R> }): Promise<R>;
  async capture(
    prompts: Prompt | readonly Prompt[],
    options: RunOptions & { into?: string | Sink<unknown> } = {},
  ): Promise<unknown> {
    options = readCaptureOptions(options);
    const run = await this.#prepare(prompts, options);
    const target = options.into ?? new MemorySink();
    const sink = typeof target === "string" ? new FolderSink(target) : target;
    return this.#drive(sink, run, options);
  }

  /**
   * Continue a capture folder whose run did not come to its end. Prompts and options are those of the folder; the
   * model must be the same and should be loaded as it was, see `storedRun`. Samples that ended are kept; the others
   * run again from their start, in place of the rows they had. A complete folder is just opened.
   *
   * The rows are those of an unbroken run. Their values may differ from it in the last bits, as llama.cpp rounds by
   * what shares a batch.
   *
   * @throws CaptureError `CAPTURE_IN_USE` while another process writes to the folder; RequestError
   * `INVALID_ARGUMENT` for another model, or a folder that does not say how its rows were made.
   * @example
   * const whole = await llm.resume("run1", { onProgress: ({ samples, totalSamples }) => console.log(samples, totalSamples) });
   * console.log(whole.complete); // true
   */
  async resume(folder: string, options: Pick<RunOptions, "signal" | "onProgress"> = {}): Promise<Capture> {
    options = readResumeOptions(options);
    const stored = await storedRun(folder);
    if (stored.complete) return openCapture(folder);
    assertSameModel(stored, this.info, await this.#engine.modelHash());
    const prompts = stored.prompts.map((tokenIds, i) => ({
      tokenIds,
      select: stored.selects[i] ?? null,
      edits: editsField(stored.samples[i]!.edits ?? [], "edits"),
    }));
    const run = await this.#prepare(prompts, { ...stored.options, ...signalOf(options) });
    const sink = new ResumeSink(folder);
    return this.#drive(sink, { ...run, samples: stored.samples }, options, () => sink.unfinished);
  }

  /**
   * Yield each token with its routing as it goes through the model: prompt tokens first, then generated ones.
   *
   * The model computes as far as the stream is read. When another run of it is asked for meanwhile, also by who reads
   * the stream, the rest of the stream is computed first and waits in memory. Leaving the loop stops the stream.
   *
   * @throws RequestError, EngineError and the signal's reason as {@link capture}, when it is read.
   * @example
   * for await (const { text, phase, streams } of llm.stream("What is 12 + 7?", { maxTokens: 12, streams: ["expert_ids"] }))
   *   console.log(phase, JSON.stringify(text), streams.get("expert_ids")?.get(3)?.join(" "));
   */
  stream(
    prompts: Prompt | readonly Prompt[],
    options: Omit<RunOptions, "onProgress"> = {},
  ): AsyncGenerator<TokenEvent, void, void> {
    options = readStreamOptions(options);
    const begun: BegunStream = { reader: null };
    const events = this.#events(prompts, options, begun);
    droppedStreams.register(events, begun);
    return events;
  }

  async *#events(
    prompts: Prompt | readonly Prompt[],
    options: RunOptions,
    begun: BegunStream,
  ): AsyncGenerator<TokenEvent, void, void> {
    if (options.select?.last !== undefined) throw lastOfStream();
    for (const name of ["reduce", "maxRows", "logprobs", "promptLogprobs"] as const)
      if (options[name] !== undefined)
        throw new RequestError("INVALID_ARGUMENT", `${name} is of a whole run or its outputs: use capture()`);
    const { requests, plan } = await this.#prepare(prompts, options);
    if (requests.some(({ select }) => select?.last != null)) throw lastOfStream();
    const run = (signal: AbortSignal) => this.#engine.run(requests, plan, { signal });
    const reader = new StreamReader(this.#queue, run, options.signal);
    begun.reader = reader;
    try {
      for (let step = await reader.next(); step; step = await reader.next())
        for (let row = 0; row < (step.batch?.rows ?? 0); row++)
          yield tokenEvent(step.batch!, row, (id) => this.tokenText(id));
    } finally {
      await reader.leave();
    }
  }

  /** Free the model. A run that goes on and those that wait reject with `ENGINE_CLOSED`. */
  close(): Promise<void> {
    this.#queue.close(new EngineError("ENGINE_CLOSED", "the model was closed; load it again to use it"));
    return this.#engine.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #prepare(
    prompts: Prompt | readonly Prompt[],
    options: PlanOptions & GenerateOptions & { signal?: AbortSignal; edits?: readonly Edit[] },
  ): Promise<PreparedRun> {
    return prepareRun(this.#engine, prompts, options, this.#call(options));
  }

  /** @param todo tells, once the sink is open, which requests are to run. Default: all. */
  #drive<R>(
    target: Sink<R>,
    run: PreparedRun,
    options: RunOptions,
    todo: () => readonly number[] = () => [...run.requests.keys()],
  ): Promise<R> {
    const { requests, plan } = run;
    const lastOf = (sample: number) => (requests[sample]!.select ?? plan.select).last;
    const { maxRows } = options;
    const kept = maxRows === undefined ? target : new RowBudget(target, maxRows);
    // Of a mean the engine has made the only row.
    const late = plan.reduce !== "mean" && requests.some((_, sample) => lastOf(sample) !== null);
    const sink = late ? new LastRows(kept, lastOf) : kept;
    return withSink(sink, headerOf(this.#engine, run), (finished) =>
      driveRun(this.#engine, this.#queue, run, todo(), sink, finished, options),
    );
  }

  /** A call of the engine that may have to wait until no run goes on. */
  #call(options: { signal?: AbortSignal }): EngineCall {
    return {
      ...signalOf(options),
      alone: async (work) => {
        const turn = await this.#queue.take(signalOf(options));
        try {
          return await work();
        } finally {
          turn.release();
        }
      },
    };
  }
}

const lastOfStream = () =>
  new RequestError("INVALID_ARGUMENT", "select.last is known only at the end of a sample: use capture()");

/** What a stream holds once it is read. */
interface BegunStream {
  reader: StreamReader | null;
}

/** A stream that nobody has any more can not be left by anybody: the garbage collector does it. */
const droppedStreams = new FinalizationRegistry<BegunStream>(({ reader }) => void reader?.leave());

const signalOf = ({ signal }: { signal?: AbortSignal }) => (signal ? { signal } : {});
