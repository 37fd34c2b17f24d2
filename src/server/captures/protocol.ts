import type { AnalyzeProgress } from "../../analysis/analyze.ts";
import type { Answer } from "./answer.ts";
import type { FoundCapture } from "./capture-folders.ts";

/** What is asked of the thread that answers. */
export interface Inquiry {
  /** Of the question. */
  readonly path: string;
  readonly asked: Readonly<Record<string, unknown>>;
  /** The captures that `asked` names, by the name of the field. */
  readonly captures: Readonly<Record<string, FoundCapture>>;
  /** All captures, where the question is about them. */
  readonly found: readonly FoundCapture[];
  /** A `Range` header, for an answer that is read in parts. */
  readonly range: string | null;
}

/** On its way to a worker. */
export interface Asked {
  readonly id: number;
  readonly inquiry: Inquiry;
}

/** What comes back; an error as its fields, which cross threads where classes do not. */
export type Replied = { readonly id: number } & (
  | { readonly progress: AnalyzeProgress }
  | { readonly answer: Answer }
  | { readonly error: SentError }
);

export interface SentError {
  readonly of: "server" | "library" | "unknown";
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  /** Of a server error's response. */
  readonly headers: Readonly<Record<string, string>>;
}
