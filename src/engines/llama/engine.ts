import { concatArrays, splitArray } from "../../core/concat-arrays.ts";
import type { EmbeddingInfo, Task } from "../../core/embedding.ts";
import type { Engine, EngineCall, GraphTensor, Step } from "../../core/engine.ts";
import { EngineError, errorAbout } from "../../core/errors.ts";
import type { ModelInfo } from "../../core/model-info.ts";
import type { Plan } from "../../core/plan.ts";
import type { EditSupport } from "../../core/planned-edit.ts";
import type { EngineRequest, EngineSettings, EngineText } from "../../core/request.ts";
import type { RefusedLayer, RowShape, RowShapes } from "../../core/row-shapes.ts";
import { activationOf, type StreamName } from "../../core/streams.ts";
import { stepTimeoutFor } from "../deadline.ts";
import { Inbox } from "../inbox.ts";
import { needsAttentionSteps } from "./graph/graph-taps.ts";
import type { HostChannel } from "./host/channel.ts";
import type { HostEnd } from "./host/host-end.ts";
import { crashed, fromWire, killAfter, type StartingHost, startingHost } from "./host/load-host.ts";
import type { FromHost, HostOptions, Ready, Reply, ToHost, TokensOfTexts } from "./host/protocol.ts";
import { type GgufHeader, modelInfo, readHeader } from "./model/gguf.ts";
import { templatesOf } from "./model/gguf-templates.ts";
import { hashOf } from "./model/model-hash.ts";
import { TextCheck } from "./model/text-check.ts";
import { hostOptions, isolationOf, type LlamaOptions, settingsOf } from "./options.ts";
import { activationShapes } from "./run/row-shapes.ts";
import { withRoutes } from "./tap/layer-routes.ts";

type OnReply = (message: FromHost | { type: "died"; error: Error }) => void;

/** What is stopped or closed ends within a step; what has not ended after so long, in milliseconds, hangs. */
const STOP_MS = 10_000;
/** To answer a question: the longest text takes seconds. */
const ANSWER_MS = 120_000;

/** llama.cpp in a process or a thread beside this one. */
export class LlamaEngine implements Engine {
  readonly logprobs = true;
  readonly kind = "llama.cpp";
  readonly version: string;
  readonly devices: readonly string[];
  readonly model: ModelInfo;
  readonly contextSize: number;
  readonly task: Task;
  readonly causal: boolean;
  readonly embedding: EmbeddingInfo | null;
  readonly settings: EngineSettings;
  readonly edits: EditSupport;
  readonly chatTemplate: string | null;
  readonly namedTemplates: Readonly<Record<string, string>>;
  readonly specialTokens: Readonly<Record<string, string>>;
  readonly #text: TextCheck;
  readonly #channel: HostChannel;
  readonly #pending = new Map<number, OnReply>();
  readonly #tokenText = new Map<number, string>();
  /** What was asked of the graph, by what and whether attention is computed in steps. */
  readonly #graphs = new Map<string, Reply>();
  /** The streams in the graph as the model was loaded. */
  readonly #streams: RowShapes;
  readonly #files: readonly string[];
  /** In milliseconds; see {@link LlamaOptions.stepTimeout}. */
  readonly #stepTimeout: number;
  #hash: Promise<string | null> | null = null;
  #nextId = 0;
  /** Answers that somebody waits for. */
  #awaited = 0;
  #dead: Error | null = null;
  #closed: Promise<void> | null = null;
  #end!: () => void;
  /** Resolves when the host is gone. */
  readonly #ended = new Promise<void>((resolve) => {
    this.#end = resolve;
  });

  private constructor(
    channel: HostChannel,
    options: HostOptions,
    model: ModelInfo,
    { files, metadata }: GgufHeader,
    ready: Ready,
    stepTimeout: number,
  ) {
    this.#stepTimeout = stepTimeout;
    this.#channel = channel;
    this.#files = files;
    this.#text = new TextCheck(metadata, model.name);
    this.version = ready.version;
    this.devices = ready.gpus.map(({ name, description }) => `${name} (${description})`);
    this.contextSize = ready.contextSize;
    const { task, causal, embedding } = ready.purpose;
    this.task = task;
    this.causal = causal;
    this.embedding = embedding;
    this.settings = settingsOf(options, ready.purpose);
    const { chatTemplate, namedTemplates, specialTokens } = templatesOf(metadata);
    this.chatTemplate = chatTemplate;
    this.namedTemplates = namedTemplates;
    this.specialTokens = { ...specialTokens, ...ready.specialTokens };
    const { moe, differences } = withRoutes(model, ready.routes);
    for (const difference of differences)
      process.emitWarning(`${difference}. What is computed holds; please report this model`, {
        type: "MoescopeWarning",
        code: "RULE_DIFFERS",
      });
    this.model = { ...model, moe, vocabSize: ready.vocabSize };
    this.#streams = ready.streams;
    this.edits = ready.edits;
    channel.listen({ message: (message) => this.#receive(message), ended: (end) => this.#die(end) });
    // An idle engine does not keep the process alive.
    channel.unref();
  }

  /**
   * Load a GGUF file (or the first part of a split one).
   *
   * @param from where the model came from, and a host that was started for it: nothing else will use that.
   * @throws ModelError, EngineError, RequestError; the signal's reason on abort.
   */
  static async load(
    path: string,
    options: LlamaOptions = {},
    from: { source?: string; signal?: AbortSignal; host?: StartingHost } = {},
  ): Promise<LlamaEngine> {
    const { source = path, signal, host = startingHost(isolationOf(options)) } = from;
    try {
      signal?.throwIfAborted();
      const header = await readHeader(path);
      const model = modelInfo(header, source);
      const loading = hostOptions(header, model, options);
      signal?.throwIfAborted();
      const { channel, ready } = await host.load(loading, header.bytes, signal);
      const { stepTimeout = stepTimeoutFor(header.bytes) } = options;
      return new LlamaEngine(channel, loading, model, header, ready, stepTimeout);
    } catch (error) {
      host.discard();
      throw error;
    }
  }

  async tokenize(texts: readonly EngineText[]): Promise<Int32Array[]> {
    for (const { text, where } of texts)
      try {
        this.#text.assert(text);
      } catch (error) {
        throw errorAbout(where, error);
      }
    const { ids, lengths, refused } = (await this.#ask({
      type: "tokenize",
      id: this.#nextId++,
      texts: texts.map(({ text }) => text),
      addSpecial: Uint8Array.from(texts, ({ addSpecial }) => Number(addSpecial)),
      parseSpecial: Uint8Array.from(texts, ({ parseSpecial }) => Number(parseSpecial)),
    })) as TokensOfTexts;
    if (refused) throw errorAbout(texts[refused.at]?.where, fromWire(refused.error));
    return splitArray(ids, lengths);
  }

  async detokenize(tokens: Int32Array): Promise<string> {
    return (await this.#ask({ type: "detokenize", id: this.#nextId++, tokens })) as string;
  }

  tokenText(tokenId: number): string {
    return this.#tokenText.get(tokenId) ?? `<${tokenId}>`;
  }

  modelHash(): Promise<string | null> {
    this.#hash ??= hashOf(this.#files);
    return this.#hash;
  }

  async rowShapes(streams: readonly StreamName[], call: EngineCall = {}): Promise<RowShapes> {
    const attentionSteps = needsAttentionSteps(streams);
    const shapes = new Map<StreamName, ReadonlyMap<number, RowShape | RefusedLayer>>();
    for (const stream of streams) {
      const activation = activationOf(stream);
      if (activation === null)
        shapes.set(stream, this.#streams.get(stream) ?? (await this.#stepwise(stream, call)));
      else {
        const tensors = await this.#graph("tensors", attentionSteps, call);
        shapes.set(stream, activationShapes(activation, tensors as readonly GraphTensor[]));
      }
    }
    return shapes;
  }

  /** Of a stream that is only there where attention is computed in steps. */
  async #stepwise(stream: StreamName, call: EngineCall) {
    const streams = (await this.#graph("streams", true, call)) as RowShapes;
    return streams.get(stream) ?? new Map();
  }

  async tensors(call: EngineCall = {}): Promise<readonly GraphTensor[]> {
    return (await this.#graph("tensors", false, call)) as readonly GraphTensor[];
  }

  /** The graph is built in the context that a run computes in. */
  async #graph(
    type: "tensors" | "streams",
    attentionSteps: boolean,
    { signal, alone = (work) => work() }: EngineCall,
  ): Promise<Reply> {
    const key = `${type} ${attentionSteps}`;
    const known = this.#graphs.get(key);
    if (known) return known;
    const reply = await alone(() => {
      signal?.throwIfAborted();
      return this.#ask({ type, id: this.#nextId++, attentionSteps });
    });
    this.#graphs.set(key, reply);
    return reply;
  }

  async *run(
    requests: readonly EngineRequest[],
    plan: Plan,
    { signal }: { signal?: AbortSignal } = {},
  ): AsyncGenerator<Step, void, void> {
    this.#text.assertStops(requests);
    signal?.throwIfAborted();
    this.#assertAlive();
    const id = this.#nextId++;
    const inbox = new Inbox<FromHost | { type: "died"; error: Error }>();
    this.#pending.set(id, (message) => inbox.put(message));
    let deadline: NodeJS.Timeout | undefined;
    const stop = () => {
      this.#channel.stop();
      deadline ??= killAfter(this.#channel, STOP_MS, "did not stop a run");
    };
    signal?.addEventListener("abort", stop, { once: true });
    let ended = false;
    const next = async () => {
      const late = killAfter(this.#channel, this.#stepTimeout, "finished no step of a run");
      try {
        const message = await this.#awaiting(inbox.take());
        ended = message.type !== "steps";
        return message;
      } finally {
        clearInterval(late);
      }
    };
    this.#channel.post({ type: "run", id, requests: inOneBuffer(requests), plan });
    try {
      for (;;) {
        const message = await next();
        // What was computed before the abort is no longer wanted.
        signal?.throwIfAborted();
        if (message.type === "steps") {
          yield message.steps;
          this.#channel.taken();
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
        while (!ended) await next();
      }
      clearInterval(deadline);
      this.#channel.resume();
      this.#pending.delete(id);
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    if (this.#dead) return;
    // A run that is going on ends first: its loop sees the abort.
    this.#channel.stop();
    this.#channel.ref();
    this.#channel.post({ type: "close" });
    const deadline = killAfter(this.#channel, STOP_MS, "did not close");
    await this.#ended;
    clearInterval(deadline);
  }

  #ask(message: Exclude<ToHost, { type: "run" | "close" }>): Promise<Reply> {
    this.#assertAlive();
    const answer = new Promise<Reply>((resolve, reject) => {
      // While a run goes on a question waits for the end of a step.
      const longest = ANSWER_MS + (this.#pending.size === 0 ? 0 : this.#stepTimeout);
      const deadline = killAfter(this.#channel, longest, `gave no answer (${message.type})`);
      this.#pending.set(message.id, (reply) => {
        clearInterval(deadline);
        this.#pending.delete(message.id);
        if (reply.type === "reply") resolve(reply.value);
        else reject(reply.type === "error" ? fromWire(reply.error) : (reply as { error: Error }).error);
      });
      this.#channel.post(message);
    });
    return this.#awaiting(answer);
  }

  /** The host keeps the process alive while somebody waits for it, and not while a stream waits for its reader. */
  async #awaiting<R>(answer: Promise<R>): Promise<R> {
    if (this.#awaited++ === 0) this.#channel.ref();
    try {
      return await answer;
    } finally {
      if (--this.#awaited === 0) this.#channel.unref();
    }
  }

  #receive(message: FromHost): void {
    const fresh =
      message.type === "steps" ? message.steps.newTokens : message.type === "reply" ? message.newTokens : [];
    for (const [token, text] of fresh) this.#tokenText.set(token, text);
    if (message.type !== "ready" && message.id !== null) this.#pending.get(message.id)?.(message);
  }

  #die(end: HostEnd): void {
    this.#dead = this.#closed ? closedError() : crashed(end);
    const error = this.#dead;
    for (const reply of [...this.#pending.values()]) reply({ type: "died", error });
    this.#end();
  }

  #assertAlive(): void {
    if (this.#dead) throw this.#dead;
    if (this.#closed) throw closedError();
  }
}

/** Thousands of small buffers take longer to cross than to run the first step. */
function inOneBuffer(requests: readonly EngineRequest[]): EngineRequest[] {
  const lists = requests.map(({ tokens }) => tokens);
  const lengths = lists.map(({ length }) => length);
  const tokens = splitArray(concatArrays(Int32Array, lists), lengths);
  return requests.map((request, i) => ({ ...request, tokens: tokens[i]! }));
}

const closedError = () => new EngineError("ENGINE_CLOSED", "the model was closed; load it again to use it");
