import { type Edit, editsField } from "../core/edits.ts";
import { RequestError } from "../core/errors.ts";
import { abortSignal, callback, type Field, flag, optionsReader } from "../core/options.ts";
import type { PlanOptions } from "../core/plan.ts";
import { planFields } from "../core/plan-options.ts";
import type { Sink } from "../core/sink.ts";
import { type GenerateOptions, generateFields } from "./generate-options.ts";

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
  /** Changes to what the model computes, for all prompts; a prompt may have its own. See docs/edits.md. */
  readonly edits?: readonly Edit[];
  /** Aborting rejects with the signal's reason; rows already in a folder stay there. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** What to run, what to keep of it, and where to: the options of `LanguageModel.capture`. */
export interface CaptureOptions extends RunOptions {
  /** A folder to stream to. Default: memory. */
  readonly into?: string;
}

/** How to turn text into tokens. */
export interface TokenizeOptions {
  /** Whether the special tokens are added that the model's tokenizer is set up to add. Default: true. */
  readonly addSpecial?: boolean;
  /** Whether special tokens that are written out in the text become those tokens. Default: true. */
  readonly parseSpecial?: boolean;
}

const SINK = ["open", "write", "close"] as const;

/** A folder, or a sink. */
const target: Field<string | Sink<unknown>> = (value, name) => {
  if (typeof value === "string" && value !== "") return value;
  const methods = value as Record<string, unknown> | null;
  if (typeof methods === "object" && SINK.every((method) => typeof methods?.[method] === "function"))
    return value as Sink<unknown>;
  throw new RequestError(
    "INVALID_ARGUMENT",
    `${name} must be the path of a folder, or a sink with ${SINK.join(", ")}`,
  );
};

const watchFields = { signal: abortSignal, onProgress: callback<(progress: Progress) => void> };

/** The options of `LanguageModel.capture`. */
export const readCaptureOptions = optionsReader<RunOptions & { into?: string | Sink<unknown> }>("capture", {
  ...planFields,
  ...generateFields,
  edits: editsField,
  ...watchFields,
  into: target,
});

/** The options of `LanguageModel.stream`. */
export const readStreamOptions = optionsReader<Omit<RunOptions, "onProgress">>("stream", {
  ...planFields,
  ...generateFields,
  edits: editsField,
  signal: abortSignal,
});

/** The options of `LanguageModel.resume`: the rest is the folder's. */
export const readResumeOptions = optionsReader<Pick<RunOptions, "signal" | "onProgress">>(
  "resume",
  watchFields,
);

/** The options of `LanguageModel.tensors`. */
export const readTensorsOptions = optionsReader<{ signal?: AbortSignal }>("tensors", { signal: abortSignal });

/** The options of `LanguageModel.encodeAll`. */
export const readEncodeOptions = optionsReader<{ signal?: AbortSignal }>("encodeAll", {
  signal: abortSignal,
});

/** The options of `LanguageModel.tokenize`. */
export const readTokenizeOptions = optionsReader<TokenizeOptions>("tokenize", {
  addSpecial: flag,
  parseSpecial: flag,
});
