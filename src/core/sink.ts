import type { EditRecord } from "./edits.ts";
import type { EmbeddingInfo } from "./embedding.ts";
import type { ModelInfo } from "./model-info.ts";
import type { Plan } from "./plan.ts";
import type { EngineSettings, Finished, MediaSpan, Sampling, WantedLogprobs } from "./request.ts";
import type { ResolvedSelection } from "./row-selection.ts";
import type { RowBatch } from "./rows.ts";

/** What a prompt was, for labels and for aligning captures with each other. */
export interface SampleInfo {
  /** The user's label (a domain, a condition), or `null`. */
  readonly label: string | null;
  readonly promptTokens: number;
  /** Where the tokens of images lie among them; absent where there are none. */
  readonly media?: readonly MediaSpan[] | undefined;
  /** What was changed in its computation, besides the run's own edits; absent: nothing. */
  readonly edits?: readonly EditRecord[] | undefined;
}

/** How a run was asked for: with the header, all it takes to run it again. */
export interface RunRequest {
  /** Token ids of each sample's prompt. */
  readonly prompts: readonly Int32Array[];
  readonly select: Plan["select"];
  /** By sample, the selection it has in place of {@link select}; absent: none has. */
  readonly selects?: readonly (ResolvedSelection | null)[];
  readonly reduce?: Plan["reduce"];
  /** Rows that are kept at most; absent: all. */
  readonly maxRows?: number;
  readonly topKeys: Plan["topKeys"];
  readonly logprobs?: WantedLogprobs;
  /** Samples of each prompt, one after the other; absent: 1. */
  readonly n?: number;
  readonly maxTokens: number;
  readonly sampling: Sampling;
  readonly settings: EngineSettings;
  /** SHA-256 of the model's weights, or `null`; see `Engine.modelHash`. A sink that does not store it does not wait. */
  modelHash(): Promise<string | null>;
}

/** What a sink is told before the first row. */
export interface RunHeader {
  readonly engine: { readonly kind: string; readonly version: string };
  readonly model: ModelInfo;
  readonly streams: Plan["streams"];
  readonly samples: readonly SampleInfo[];
  /** What was changed in the computation of all samples; absent: nothing. */
  readonly edits?: readonly EditRecord[];
  /** How the samples' pooled embeddings are made; `null` or absent: they have none. */
  readonly embedding?: EmbeddingInfo | null;
  /** Text of any token that appears in a batch; see `Engine.tokenText`. */
  readonly tokenText: (tokenId: number) => string;
  /** Absent where rows do not come from an engine's run; such a capture cannot be resumed. */
  readonly request?: RunRequest;
}

/** What a sink is told after the last row. */
export interface RunEnd {
  /** The samples that ended, in order of sample; their embeddings came with `finish`. */
  readonly finished: readonly Finished[];
  /** What kept the run from its end (an abort, an engine's failure), if anything did. */
  readonly error?: unknown;
  /** Rows beyond `maxRows`, which were not kept. Absent: none. */
  readonly dropped?: number;
}

/**
 * Takes the rows of one run. `write` may return a promise: the engine waits for it, so memory stays bounded by
 * what a sink holds. `close` is called exactly once after `open`, also after an error; not after an `open` that failed,
 * which itself gives back what it had taken.
 *
 * @example
 * import type { Sink } from "moescope";
 * let rows = 0;
 * const counter: Sink<number> = {
 *   open() {},
 *   write(batch) {
 *     rows += batch.rows;
 *   },
 *   close: () => rows,
 * };
 * const count = await llm.capture("The capital of France", { into: counter });
 */
export interface Sink<Result> {
  open(header: RunHeader): void | Promise<void>;
  write(batch: RowBatch): void | Promise<void>;
  /**
   * Samples have ended; all their rows were written before. For sinks that store or let go by sample, and the only place
   * where a sample's pooled embedding is handed over: a run does not hold those of all samples.
   */
  finish?(samples: readonly Finished[]): void | Promise<void>;
  close(end: RunEnd): Result | Promise<Result>;
}
