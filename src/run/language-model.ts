import type { Capture } from "../capture/capture.ts";
import { FolderSink } from "../capture/folder/folder-sink.ts";
import { openCapture } from "../capture/folder/folder-source.ts";
import { ResumeSink } from "../capture/folder/resume-sink.ts";
import { LastRows } from "../capture/last-rows.ts";
import { MemorySink } from "../capture/memory.ts";
import type { EmbeddingInfo, Task } from "../core/embedding.ts";
import type { Engine, GraphTensor } from "../core/engine.ts";
import { RequestError } from "../core/errors.ts";
import type { ModelInfo } from "../core/model-info.ts";
import { type Plan, type PlanOptions, planFor, plannedStreams } from "../core/plan.ts";
import type { EngineRequest, Finished } from "../core/request.ts";
import type { RowShapes } from "../core/row-shapes.ts";
import { PHASES, type Phase, type RowBatch } from "../core/rows.ts";
import type { RunHeader, SampleInfo, Sink } from "../core/sink.ts";
import { type StreamName, streamSpec } from "../core/streams.ts";
import { assertInVocabulary } from "../core/token-ids.ts";
import { checkGeneration, type GenerateOptions } from "./generate-options.ts";
import { encodePrompt, promptLabel } from "./prompts/prompt.ts";
import type { Prompt } from "./prompts/prompt-object.ts";
import { assertSameModel, storedRun } from "./stored-run.ts";

/** Where a run stands; counts only grow. */
export interface Progress {
  /** Samples that have ended. */
  readonly samples: number;
  readonly totalSamples: number;
  /** Tokens that went through the model. */
  readonly tokens: number;
  /** At most this many will: prompts plus `maxTokens` each. */
  readonly totalTokens: number;
}

/** What to run and what to keep of it, wherever the rows go. */
export interface RunOptions extends PlanOptions, GenerateOptions {
  /** Aborting rejects with the signal's reason; rows already in a folder stay there. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export interface CaptureOptions extends RunOptions {
  /** A folder to stream to. Default: memory. */
  readonly into?: string;
}

/** A token with its routing, as {@link LanguageModel.stream} yields it. */
export interface TokenEvent {
  readonly sample: number;
  readonly position: number;
  readonly tokenId: number;
  readonly text: string;
  readonly phase: Phase;
  /** Per captured stream: layer -> this token's values. */
  readonly streams: RowBatch["streams"];
}

/** A loaded model: capture from it, stream it, close it. Made by `load`. */
export class LanguageModel implements AsyncDisposable {
  readonly #engine: Engine;
  #warnedEmpty = false;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get info(): ModelInfo {
    return this.#engine.model;
  }

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

  tokenize(text: string, options?: { addSpecial?: boolean; parseSpecial?: boolean }): Promise<Int32Array> {
    return this.#engine.tokenize(text, options);
  }

  /**
   * The token ids a prompt goes into the model as, with what the tokenizer or the chat template adds.
   *
   * @throws RequestError `INVALID_ARGUMENT` as {@link capture}.
   */
  async encode(prompt: Prompt): Promise<Int32Array> {
    return (await encodePrompt(this.#engine, prompt, "the prompt")).tokens;
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
   */
  async tensors(options: { signal?: AbortSignal } = {}): Promise<readonly GraphTensor[]> {
    if (this.#engine.tensors) return this.#engine.tensors(options);
    throw new RequestError("INVALID_ARGUMENT", `${this.#engine.kind} does not tell the tensors it computes`);
  }

  /** Text of one token that was tokenised or run; bytes that are no UTF-8 on their own appear as `<0xE2>`. */
  tokenText(tokenId: number): string {
    return this.#engine.tokenText(tokenId);
  }

  /**
   * Run prompts and capture what the plan names, in memory or in the folder `into`.
   *
   * @throws RequestError for an unknown stream or layer, a prompt beyond the context; the signal's reason on abort.
   */
  capture(
    prompts: Prompt | readonly Prompt[],
    options?: CaptureOptions & { into?: string },
  ): Promise<Capture>;
  /** Run prompts and hand the rows to a sink; resolves to what the sink makes of them. */
  capture<R>(prompts: Prompt | readonly Prompt[], options: RunOptions & { into: Sink<R> }): Promise<R>;
  async capture(
    prompts: Prompt | readonly Prompt[],
    options: RunOptions & { into?: string | Sink<unknown> } = {},
  ): Promise<unknown> {
    const { samples, requests, plan } = await this.#prepare(prompts, options);
    const target = options.into ?? new MemorySink();
    const sink = typeof target === "string" ? new FolderSink(target) : target;
    return this.#drive(sink, this.#header(requests, plan, samples), requests, plan, options);
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
   */
  async resume(folder: string, options: Pick<RunOptions, "signal" | "onProgress"> = {}): Promise<Capture> {
    const run = await storedRun(folder);
    if (run.complete) return openCapture(folder);
    assertSameModel(run, this.info, await this.#engine.modelHash());
    const { requests, plan } = await this.#prepare(run.prompts, { ...run.options, ...signalOf(options) });
    const sink = new ResumeSink(folder);
    const header = this.#header(requests, plan, run.samples);
    return this.#drive(sink, header, requests, plan, options, () => sink.unfinished);
  }

  /** Yield each token with its routing as it goes through the model: prompt tokens first, then generated ones. */
  async *stream(
    prompts: Prompt | readonly Prompt[],
    options: Omit<RunOptions, "onProgress"> = {},
  ): AsyncGenerator<TokenEvent, void, void> {
    if (options.select?.last !== undefined)
      throw new RequestError(
        "INVALID_ARGUMENT",
        "select.last is known only at the end of a sample: use capture()",
      );
    const { requests, plan } = await this.#prepare(prompts, options);
    for await (const { batch } of this.#engine.run(requests, plan, signalOf(options)))
      for (let row = 0; row < (batch?.rows ?? 0); row++) yield this.#event(batch!, row);
  }

  close(): Promise<void> {
    return this.#engine.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #prepare(
    prompts: Prompt | readonly Prompt[],
    options: PlanOptions & GenerateOptions & { signal?: AbortSignal },
  ) {
    options.signal?.throwIfAborted();
    const list = isBatch(prompts) ? prompts : [prompts as Prompt];
    if (list.length === 0) throw new RequestError("INVALID_ARGUMENT", "there are no prompts");
    const streams = plannedStreams(options);
    const generation = checkGeneration(options);
    if (generation.maxTokens > 0) this.#assertGenerates();
    const requests: EngineRequest[] = [];
    const samples: SampleInfo[] = [];
    for (const [i, prompt] of list.entries()) {
      const where = list.length === 1 ? "the prompt" : `prompt ${i}`;
      const { tokens, media, spans } = await encodePrompt(this.#engine, prompt, where);
      const needed = tokens.length + generation.maxTokens;
      if (needed > this.contextSize)
        throw new RequestError(
          "CONTEXT_OVERFLOW",
          `${where} needs ${needed} tokens of context (${tokens.length} in the prompt, ${generation.maxTokens} to ` +
            `generate), the model was loaded with ${this.contextSize}; load it with a larger contextSize ` +
            `(trained for ${this.info.contextLength}) or shorten the prompt`,
        );
      requests.push({ tokens, ...(media && { media }), ...generation });
      samples.push({
        label: promptLabel(prompt),
        promptTokens: tokens.length,
        ...(spans && { media: spans }),
      });
    }
    const shapes = await this.#rowShapes(streams, options);
    const plan = planFor(this.info, options, { shapes, keys: Math.max(...requests.map(tokensFed)) });
    this.#warnIfEmpty(streams, shapes);
    return { samples, requests, plan };
  }

  /** @throws RequestError `INVALID_ARGUMENT` with why the model cannot generate as it was loaded. */
  #assertGenerates(): void {
    if (this.task === "generate") return;
    const { name } = this.info;
    throw new RequestError(
      "INVALID_ARGUMENT",
      this.#engine.causal === false
        ? `${name} cannot generate: its attention is not causal (each token sees those after it); leave maxTokens at 0, the prompt only`
        : `${name} was loaded to make embeddings (task "embed") and does not generate; leave maxTokens at 0, or load it with task "generate"`,
    );
  }

  #header(requests: readonly EngineRequest[], plan: Plan, samples: readonly SampleInfo[]): RunHeader {
    const { maxTokens, sampling } = requests[0]!;
    return {
      engine: this.engine,
      model: this.info,
      streams: plan.streams,
      samples,
      embedding: this.embedding,
      tokenText: (id) => this.#engine.tokenText(id),
      request: {
        prompts: requests.map(({ tokens }) => tokens),
        select: plan.select,
        topKeys: plan.topKeys,
        maxTokens,
        sampling,
        settings: this.#engine.settings ?? {},
        modelHash: () => this.#engine.modelHash(),
      },
    };
  }

  /** @param todo tells, once the sink is open, which requests are to run. Default: all. */
  async #drive<R>(
    target: Sink<R>,
    header: RunHeader,
    requests: readonly EngineRequest[],
    plan: Plan,
    options: RunOptions,
    todo: () => readonly number[] = () => [...requests.keys()],
  ): Promise<R> {
    const sink = plan.select.last === null ? target : new LastRows(target, plan.select.last);
    await sink.open(header);
    const finished: Finished[] = [];
    try {
      await this.#pump(requests, todo(), plan, sink, finished, options);
    } catch (error) {
      await sink.close({ finished: bySample(finished), error });
      throw error;
    }
    return sink.close({ finished: bySample(finished) });
  }

  async #pump(
    all: readonly EngineRequest[],
    todo: readonly number[],
    plan: Plan,
    sink: Sink<unknown>,
    finished: Finished[],
    options: RunOptions,
  ): Promise<void> {
    if (todo.length === 0) return;
    const requests = todo.map((sample) => all[sample]!);
    const totalTokens = requests.reduce((sum, request) => sum + tokensFed(request), 0);
    let tokens = 0;
    // The engine counts the requests it was given; a sink knows the run's samples.
    const sampleOf = (index: number) => todo[index]!;
    for await (const step of this.#engine.run(requests, plan, signalOf(options))) {
      const { batch } = step;
      if (batch) await sink.write({ ...batch, sample: batch.sample.map(sampleOf) });
      const ended = step.finished.map((end) => ({ ...end, sample: sampleOf(end.sample) }));
      if (ended.length > 0) await sink.finish?.(ended);
      finished.push(...ended.map(({ embedding: _, ...end }) => end));
      tokens += step.processed;
      options.onProgress?.({ samples: finished.length, totalSamples: requests.length, tokens, totalTokens });
    }
  }

  #event(batch: RowBatch, row: number): TokenEvent {
    const streams = new Map(
      [...batch.streams].map(([name, layers]) => [
        name,
        new Map(
          [...layers].map(([layer, data]) => {
            const width = data.length / batch.rows;
            return [layer, data.subarray(row * width, (row + 1) * width)];
          }),
        ),
      ]),
    );
    const tokenId = batch.tokenId[row]!;
    return {
      sample: batch.sample[row]!,
      position: batch.position[row]!,
      tokenId,
      text: this.tokenText(tokenId),
      phase: PHASES[batch.phase[row]!]!,
      streams,
    };
  }

  /** What the engine has seen of the streams in the computation. */
  async #rowShapes(streams: readonly StreamName[], options: { signal?: AbortSignal }): Promise<RowShapes> {
    if (this.#engine.rowShapes) return this.#engine.rowShapes(streams, signalOf(options));
    const asked = streams.filter((name) => streamSpec(name).toldBy === "engine");
    if (asked.length === 0) return new Map();
    throw new RequestError(
      "UNKNOWN_STREAM",
      `${this.#engine.kind} has no ${asked.join(", ")}; leave them out`,
    );
  }

  #warnIfEmpty(streams: readonly StreamName[], shapes: RowShapes): void {
    const dense = !this.info.moe;
    const empty = streams.filter(
      (name) => (dense && streamSpec(name).routed) || shapes.get(name)?.size === 0,
    );
    if (empty.length === 0 || this.#warnedEmpty) return;
    this.#warnedEmpty = true;
    const { name } = this.info;
    const what = empty.join(", ");
    process.emitWarning(
      dense
        ? `${name} has no MoE layers: ${what} will be empty`
        : `no layer of ${name} has ${what}: it will be empty`,
      { type: "MoescopeWarning", code: dense ? "DENSE_MODEL" : "EMPTY_STREAM" },
    );
  }
}

/** A list of prompts, as opposed to one prompt that is itself an array (token ids or chat messages). */
function isBatch(prompts: Prompt | readonly Prompt[]): prompts is readonly Prompt[] {
  if (!Array.isArray(prompts)) return false;
  return !prompts.some((item) => typeof item === "number" || (typeof item === "object" && "role" in item));
}

/** The last token is drawn, and does not go through the model. */
const tokensFed = ({ tokens, maxTokens }: EngineRequest) => tokens.length + Math.max(0, maxTokens - 1);

const bySample = (finished: readonly Finished[]) => [...finished].sort((a, b) => a.sample - b.sample);

const signalOf = ({ signal }: { signal?: AbortSignal }) => (signal ? { signal } : {});
