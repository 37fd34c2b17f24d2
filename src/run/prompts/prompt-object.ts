import type { Edit } from "../../core/edits.ts";
import type { RowSelection } from "../../core/row-selection.ts";
import type { ChatMessage } from "./message.ts";

/** What goes with a prompt besides text, as vLLM names it. */
export interface MultiModalData {
  /** Paths, `http(s):` or `data:` URLs; the prompt holds the model's placeholder for each. */
  readonly image?: string | readonly string[];
}

/** A prompt with what belongs to it: exactly one of `prompt`, `tokenIds` and `messages`. A field that is `null` is left out. */
export interface PromptObject {
  /** Text. */
  readonly prompt?: string | null;
  /** Token ids, taken as they are. */
  readonly tokenIds?: readonly number[] | Int32Array | null;
  /** A chat, put through the model's own template. */
  readonly messages?: readonly ChatMessage[] | null;
  readonly multiModalData?: MultiModalData | null;
  /** What the sample is called in results. */
  readonly label?: string | null;
  /** Which of its rows to keep, in place of the run's `select`. */
  readonly select?: RowSelection | null;
  /**
   * Whether the tokenizer adds the special tokens that it is set up to add (BOS, EOS, CLS, SEP). Default: to text yes, to
   * a chat no, as its template writes them.
   */
  readonly addSpecial?: boolean | null;
  /** Changes to what the model computes for this prompt; see docs/edits.md. */
  readonly edits?: readonly Edit[] | null;
  /** Of a chat: the tools the model may call, as OpenAI writes them. */
  readonly tools?: readonly object[] | null;
  /** Of a chat: documents the answer is to come from. */
  readonly documents?: readonly object[] | null;
  /** Of a chat: further variables of the template, e.g. `{ enable_thinking: false }`. */
  readonly chatTemplateKwargs?: Readonly<Record<string, unknown>> | null;
  /** Of a chat: end with what begins an answer. Default: true, unless the last message goes on. */
  readonly addGenerationPrompt?: boolean | null;
  /** Of a chat: leave the last message open, for the model to go on with it; or the name of its field that goes on. */
  readonly continueFinalMessage?: boolean | string | null;
}

/** What a prompt may be: text, token ids, chat messages, or an object with one of them. */
export type Prompt = string | readonly number[] | Int32Array | readonly ChatMessage[] | PromptObject;
