import type { Engine } from "./engines/engine.ts";
import { RequestError } from "./errors.ts";

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** What a prompt may be: text, token ids, chat messages, or one of them with a label. */
export type Prompt =
  | string
  | readonly number[]
  | Int32Array
  | readonly ChatMessage[]
  | {
      readonly prompt?: string;
      readonly tokenIds?: readonly number[] | Int32Array;
      readonly messages?: readonly ChatMessage[];
      readonly label?: string | null;
    };

type PlainPrompt =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "tokens"; readonly tokens: Int32Array }
  | { readonly kind: "chat"; readonly messages: readonly ChatMessage[] };

/**
 * Turn a prompt into the tokens that go into the model.
 *
 * Text is tokenised as the model's tokenizer is set up (a BOS token where it wants one); chat messages pass through
 * the model's own template first; token ids are taken as they are.
 *
 * @throws RequestError `INVALID_ARGUMENT` naming the prompt, for example an id outside the vocabulary.
 */
export async function encodePrompt(engine: Engine, prompt: Prompt, where: string): Promise<Int32Array> {
  const plain = classify(prompt, where);
  const tokens =
    plain.kind === "tokens"
      ? plain.tokens
      : plain.kind === "text"
        ? await engine.tokenize(plain.text, { addSpecial: true, parseSpecial: true })
        : await engine.tokenize(await renderChat(engine, plain.messages, where), {
            // The template writes BOS itself; a tokenizer that adds its own would double it.
            addSpecial: false,
            parseSpecial: true,
          });
  if (tokens.length === 0)
    throw new RequestError("INVALID_ARGUMENT", `${where} is empty: there is no token to run`);
  const bad = tokens.find((id) => id < 0 || id >= engine.model.vocabSize);
  if (bad !== undefined)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${where} holds token id ${bad}; the vocabulary has ids 0 to ${engine.model.vocabSize - 1}`,
    );
  return tokens;
}

/** The label of a prompt, or `null`. */
export function promptLabel(prompt: Prompt): string | null {
  return typeof prompt === "object" && "label" in prompt ? (prompt.label ?? null) : null;
}

function classify(prompt: Prompt, where: string): PlainPrompt {
  if (typeof prompt === "string") return { kind: "text", text: prompt };
  if (prompt instanceof Int32Array) return { kind: "tokens", tokens: prompt };
  if (Array.isArray(prompt)) {
    if (prompt.every((item) => typeof item === "number"))
      return { kind: "tokens", tokens: tokenIds(prompt, where) };
    if (prompt.every(isMessage)) return { kind: "chat", messages: prompt };
  } else if (typeof prompt === "object" && prompt !== null) {
    const given = prompt as Exclude<Prompt, string | readonly unknown[] | Int32Array>;
    const forms = (["prompt", "tokenIds", "messages"] as const).filter((key) => given[key] !== undefined);
    if (forms.length !== 1)
      throw new RequestError(
        "INVALID_ARGUMENT",
        `${where} must have exactly one of prompt, tokenIds and messages; it has ${forms.join(" and ") || "none"}`,
      );
    return classify(given[forms[0]!] as Prompt, where);
  }
  throw new RequestError(
    "INVALID_ARGUMENT",
    `${where} is neither text, an array of token ids, chat messages, nor an object with one of them`,
  );
}

function tokenIds(ids: readonly number[], where: string): Int32Array {
  const bad = ids.find((id) => !Number.isInteger(id) || id < 0 || id > 0x7fffffff);
  if (bad !== undefined)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${where} holds ${bad}, which is no token id (a whole number from 0)`,
    );
  return Int32Array.from(ids);
}

function isMessage(value: unknown): value is ChatMessage {
  const message = value as ChatMessage | null;
  return (
    typeof message === "object" && typeof message?.role === "string" && typeof message.content === "string"
  );
}

async function renderChat(engine: Engine, messages: readonly ChatMessage[], where: string): Promise<string> {
  if (engine.chatTemplate === null)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${where} is a chat, but ${engine.model.name} has no chat template; pass text or token ids`,
    );
  // Loaded when a chat comes: most prompts are text, and importing the library should be quick.
  const { Template } = await import("@huggingface/jinja");
  try {
    return new Template(engine.chatTemplate).render({
      messages,
      add_generation_prompt: true,
      bos_token: engine.specialTokens.bos,
      eos_token: engine.specialTokens.eos,
    });
  } catch (cause) {
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${where}: the model's chat template refused the messages: ${(cause as Error).message}`,
      { cause },
    );
  }
}
