import type { EmbeddingInfo, Task } from "../../core/embedding.ts";
import type { Engine, Step } from "../../core/engine.ts";
import type { ModelInfo } from "../../core/model-info.ts";
import type { Plan } from "../../core/plan.ts";
import type { EngineRequest, EngineText, MediaPrompt, MediaSpan } from "../../core/request.ts";
import type { RowShapes } from "../../core/row-shapes.ts";
import { sieved } from "../../core/row-sieve.ts";
import type { StreamName } from "../../core/streams.ts";
import type { ReadyMessage } from "./protocol.ts";
import { rowShapes, type ToldStreams } from "./row-shapes.ts";

/** A vLLM that has the plugin, wherever it runs: what the plugin says of the model, and rows as the plan wants them. */
export abstract class PluginEngine implements Engine {
  readonly kind = "vllm";
  readonly version: string;
  readonly model: ModelInfo;
  readonly devices: readonly string[];
  readonly contextSize: number;
  readonly task: Task;
  readonly causal: boolean;
  readonly embedding: EmbeddingInfo | null;
  readonly chatTemplate: string | null;
  readonly namedTemplates?: Engine["namedTemplates"];
  readonly specialTokens: Readonly<Record<string, string>>;
  readonly encode?: Engine["encode"];
  /** Texts of the tokens that were told of. */
  protected readonly tokenTexts: Map<number, string>;
  readonly #told: ToldStreams;

  /** @param source of the model, for those who load it again. */
  protected constructor(ready: ReadyMessage, source: string, tokenTexts = new Map<number, string>()) {
    this.version = ready.vllm;
    this.model = { ...ready.model, source };
    this.devices = ready.devices;
    this.contextSize = ready.contextSize;
    this.task = ready.task;
    this.causal = ready.causal;
    this.embedding = ready.embedding;
    this.chatTemplate = ready.chatTemplate;
    this.namedTemplates = ready.namedTemplates;
    this.specialTokens = ready.specialTokens;
    this.tokenTexts = tokenTexts;
    this.#told = ready;
    if (ready.vision) this.encode = (prompt) => this.encodeMedia(prompt);
  }

  abstract tokenize(texts: readonly EngineText[]): Promise<Int32Array[]>;
  abstract detokenize(tokens: Int32Array): Promise<string>;
  abstract close(): Promise<void>;

  tokenText(tokenId: number): string {
    return this.tokenTexts.get(tokenId) ?? `<${tokenId}>`;
  }

  async rowShapes(streams: readonly StreamName[]): Promise<RowShapes> {
    return rowShapes(this.#told, this.model, streams);
  }

  /** Checkpoints are folders of many gigabytes; their hash would take longer than most captures. */
  async modelHash(): Promise<null> {
    return null;
  }

  run(
    requests: readonly EngineRequest[],
    plan: Plan,
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<Step, void, void> {
    return sieved(this.steps(requests, plan, options), plan, requests);
  }

  protected abstract encodeMedia(
    prompt: MediaPrompt,
  ): Promise<{ tokens: Int32Array; media: readonly MediaSpan[] }>;

  /** All rows that the plugin sends. */
  protected abstract steps(
    requests: readonly EngineRequest[],
    plan: Plan,
    options: { signal?: AbortSignal },
  ): AsyncGenerator<Step, void, void>;
}
