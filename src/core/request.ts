import type { PlannedEdit } from "./planned-edit.ts";
import type { ResolvedSelection } from "./row-selection.ts";

/** What an engine was loaded with, as far as values depend on it: plain JSON, to load it again alike. */
export type EngineSettings = Readonly<Record<string, string | number | boolean>>;

/** A text that is to become tokens. */
export interface EngineText {
  readonly text: string;
  /** Whether the special tokens are added that the model's tokenizer is set up to add. */
  readonly addSpecial: boolean;
  /** Whether special tokens that are written out in the text become those tokens. */
  readonly parseSpecial: boolean;
  /** What errors call it, e.g. `prompt 3`; absent where there is only one. */
  readonly where?: string | undefined;
}

/** One prompt to run, already tokenised. */
export interface EngineRequest {
  readonly tokens: Int32Array;
  /** For a prompt with images: what `Engine.encode` made the tokens of. */
  readonly media?: MediaPrompt;
  /** Tokens to generate after the prompt; 0: the prompt only. */
  readonly maxTokens: number;
  readonly sampling: Sampling;
  /** What is to be changed in its computation; absent: nothing. */
  readonly edits?: readonly PlannedEdit[];
  /** Which of its rows to keep, in place of the plan's. */
  readonly select?: ResolvedSelection;
  /** Of which of its tokens the log-probabilities are wanted. */
  readonly logprobs?: WantedLogprobs;
}

/** Which log-probabilities a run brings: of the tokens that are generated, and of the prompt's. */
export interface WantedLogprobs {
  readonly generated: boolean;
  readonly prompt: boolean;
}

/** Text with images, as a vision-language model takes them. */
export interface MediaPrompt {
  /** With the model's own placeholder where each image belongs, as its chat template writes it. */
  readonly prompt: string;
  /** Paths, `http(s):` or `data:` URLs. */
  readonly images: readonly string[];
}

/** Where the tokens of an image (or of what else is no text) lie in a sample. */
export interface MediaSpan {
  readonly kind: string;
  /** Position of the first one. */
  readonly offset: number;
  readonly length: number;
}

/** How the next token is drawn. `temperature: 0` is greedy. */
export interface Sampling {
  readonly temperature: number;
  /** Keep the k most likely tokens; 0: all. */
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly seed: number;
  /** Generation ends before the first of these strings; they are not part of the output text. */
  readonly stop: readonly string[];
  /** Go on after an end-of-generation token. */
  readonly ignoreEos: boolean;
}

export const FINISH_REASONS = ["length", "eos", "stop"] as const;
/**
 * Why a sample ended: `maxTokens` were generated (`length`), the model ended it (`eos`), or a string of the option
 * `stop` came up (`stop`).
 *
 * @useDeclaredType
 */
export type FinishReason = (typeof FINISH_REASONS)[number];

/** The end of one sample. */
export interface Finished {
  readonly sample: number;
  readonly tokens: Int32Array;
  readonly text: string;
  readonly reason: FinishReason;
  /**
   * The prompt's pooled embedding, as `Engine.embedding` says; its size is the model's own, mostly
   * `hiddenSize`. Absent with task `generate`, or pooling `none`.
   */
  readonly embedding?: Float32Array;
  /**
   * Natural log-probabilities of {@link tokens}, one each, by the model's distribution before temperature and the other ways
   * to draw. Absent unless `logprobs` asked for them.
   */
  readonly logprobs?: Float32Array;
  /** The same of the prompt's tokens, each after those before it; NaN for the first. Absent unless `promptLogprobs` asked. */
  readonly promptLogprobs?: Float32Array;
}
