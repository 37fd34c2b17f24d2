import type { EmbeddingInfo, Task } from "./embedding.ts";
import type { ModelInfo } from "./model-info.ts";
import type { Plan } from "./plan.ts";
import type { EditSupport } from "./planned-edit.ts";
import type {
  EngineRequest,
  EngineSettings,
  EngineText,
  Finished,
  MediaPrompt,
  MediaSpan,
} from "./request.ts";
import type { RowShapes } from "./row-shapes.ts";
import type { RowBatch } from "./rows.ts";
import type { StreamName } from "./streams.ts";

/** What one step of the engine brought: rows, tokens drawn, samples that ended. */
export interface Step {
  /** `null` when the plan selects none of the step's rows. */
  readonly batch: RowBatch | null;
  /** Tokens drawn in this step, one entry per sample that drew one. */
  readonly drawn: readonly { readonly sample: number; readonly tokenId: number }[];
  readonly finished: readonly Finished[];
  /** Tokens that went through the model in this step. */
  readonly processed: number;
}

/** A tensor that a model's computation has in some of its layers. */
export interface GraphTensor {
  /** The engine's name for it. */
  readonly name: string;
  /** The layers that have it in this shape. */
  readonly layers: readonly number[];
  /** The engine's name of its element type, e.g. `f32`. */
  readonly type: string;
  /** Slowest axis first. `tokens`: one entry a token of the step; `varies`: changes with what the cache holds. */
  readonly shape: readonly (number | "tokens" | "varies")[];
  /** Whether it can be captured as `activation:<name>`: one axis counts tokens, the others are fixed. */
  readonly capturable: boolean;
}

/** What a call of an {@link Engine} may be given. */
export interface EngineCall {
  readonly signal?: AbortSignal;
  /** Does work that no run may go on beside, as soon as none does. Absent: none does. */
  readonly alone?: <R>(work: () => Promise<R>) => Promise<R>;
}

/**
 * What runs the model. It knows nothing of sinks or analysis: it takes tokenised requests and a plan, and yields
 * labelled rows.
 */
export interface Engine {
  /** The engine's name in the registry, e.g. `llama.cpp`. */
  readonly kind: string;
  /** Version of the engine's software, for the manifest. */
  readonly version: string;
  readonly model: ModelInfo;
  /** GPUs that hold part of the model, as people know them; none or absent: the CPU alone, or not known. */
  readonly devices?: readonly string[];
  /** Longest sample (prompt and continuation), in tokens. */
  readonly contextSize: number;
  /** What the model was loaded for. Absent: `generate`. With `embed`, requests have `maxTokens` 0. */
  readonly task?: Task;
  /** Whether each token sees only those before it. Absent: true. Without, nothing can be generated. */
  readonly causal?: boolean;
  /** How `Finished.embedding` is made; `null` or absent: outputs have none. */
  readonly embedding?: EmbeddingInfo | null;
  /** What of the computation can be changed by `EngineRequest.edits`. Absent: nothing; such requests never come. */
  readonly edits?: EditSupport;
  /** Whether it gives the log-probabilities that a request asks for. Absent: it does not. */
  readonly logprobs?: true;
  /** Absent: nothing that values depend on can be set. */
  readonly settings?: EngineSettings;
  /** Jinja chat template of the model, if it has one. */
  readonly chatTemplate: string | null;
  /** Further ones for a purpose, e.g. `tool_use`. */
  readonly namedTemplates?: Readonly<Record<string, string>> | undefined;
  /** Text of the special tokens a chat template may name: `bos`, `eos`, `unk`, `pad`, `sep`, `cls`, `mask`; those there are. */
  readonly specialTokens: Readonly<Record<string, string>>;

  /**
   * The tokens of each text, in order. All of them cross to the engine at once, and a run that goes on waits for them
   * between two steps: whoever has thousands asks in pieces.
   *
   * @throws RequestError or ModelError for a text that cannot become tokens, beginning with its `where`.
   */
  tokenize(texts: readonly EngineText[]): Promise<Int32Array[]>;
  detokenize(tokens: Int32Array): Promise<string>;
  /** The tokens of a prompt with images, the images' own included. Absent: the engine or its model takes text only. */
  readonly encode?:
    | ((prompt: MediaPrompt) => Promise<{ tokens: Int32Array; media: readonly MediaSpan[] }>)
    | undefined;
  /**
   * Text of one token; bytes that are not valid UTF-8 on their own appear as `<0xE2>`. Known for every token that
   * has passed through {@link run} or {@link tokenize}.
   */
  tokenText(tokenId: number): string;
  /**
   * Layers and sizes of streams, as the engine has seen them in the model's computation; a stream that no layer has
   * is a Map without layers. Streams that it leaves out are as the model's description tells. Absent: the engine has
   * no streams that the description does not tell.
   *
   * @throws RequestError `UNKNOWN_STREAM` for an activation that is not there or cannot be captured.
   */
  rowShapes?(streams: readonly StreamName[], call?: EngineCall): Promise<RowShapes>;
  /** The tensors of the model's computation that have a name. Absent: the engine cannot tell. */
  tensors?(call?: EngineCall): Promise<readonly GraphTensor[]>;
  /**
   * Run the requests, several at a time, until all have ended. Whoever calls it sees to it that the run before has
   * ended (`RunQueue`). Leaving the loop early or aborting the signal stops the engine within a fraction of a step.
   */
  run(
    requests: readonly EngineRequest[],
    plan: Plan,
    options?: { signal?: AbortSignal },
  ): AsyncIterable<Step>;
  /** SHA-256 of the model's weights in hex, or `null` where finding it out would take minutes. */
  modelHash(): Promise<string | null>;
  close(): Promise<void>;
}
