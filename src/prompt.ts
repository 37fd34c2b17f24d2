import type { Engine, MediaPrompt, MediaSpan } from "./engines/engine.ts";
import { RequestError } from "./errors.ts";
import { assertInVocabulary } from "./token-ids.ts";

/** A piece of a message, as the OpenAI API writes it. */
export type MessagePart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image_url"; readonly image_url: { readonly url: string } };

export interface ChatMessage {
  readonly role: string;
  readonly content: string | readonly MessagePart[];
}

/** What goes with a prompt besides text, as vLLM names it. */
export interface MultiModalData {
  /** Paths, `http(s):` or `data:` URLs; the prompt holds the model's placeholder for each. */
  readonly image?: string | readonly string[];
}

/** What a prompt may be: text, token ids, chat messages, or one of them with a label; text with images. */
export type Prompt =
  | string
  | readonly number[]
  | Int32Array
  | readonly ChatMessage[]
  | {
      readonly prompt?: string;
      readonly tokenIds?: readonly number[] | Int32Array;
      readonly messages?: readonly ChatMessage[];
      readonly multiModalData?: MultiModalData;
      readonly label?: string | null;
    };

/** A prompt as it goes into a run. */
export interface EncodedPrompt {
  readonly tokens: Int32Array;
  /** For a prompt with images. */
  readonly media?: MediaPrompt;
  readonly spans?: readonly MediaSpan[];
}

type PlainPrompt =
  | { readonly kind: "text"; readonly text: string; readonly images: readonly string[] }
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
export async function encodePrompt(engine: Engine, prompt: Prompt, where: string): Promise<EncodedPrompt> {
  const encoded = await encode(engine, classify(prompt, where), where);
  const { tokens } = encoded;
  if (tokens.length === 0)
    throw new RequestError("INVALID_ARGUMENT", `${where} is empty: there is no token to run`);
  assertInVocabulary(tokens, engine.model.vocabSize, where);
  return encoded;
}

async function encode(engine: Engine, plain: PlainPrompt, where: string): Promise<EncodedPrompt> {
  if (plain.kind === "tokens") return { tokens: plain.tokens };
  const images = plain.kind === "text" ? plain.images : imagesOf(plain.messages);
  const text = plain.kind === "text" ? plain.text : await renderChat(engine, plain.messages, where);
  // A chat template writes BOS itself; a tokenizer that adds its own would double it.
  if (images.length === 0)
    return { tokens: await engine.tokenize(text, { addSpecial: plain.kind === "text", parseSpecial: true }) };
  if (!engine.encode)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${where} comes with an image, but ${engine.model.name} on this engine takes text only`,
    );
  const media: MediaPrompt = { prompt: text, images };
  const { tokens, media: spans } = await engine.encode(media);
  return { tokens, media, spans };
}

const imagesOf = (messages: readonly ChatMessage[]): string[] =>
  messages.flatMap(({ content }) =>
    typeof content === "string"
      ? []
      : content.flatMap((part) => (part.type === "image_url" ? [part.image_url.url] : [])),
  );

/** The label of a prompt, or `null`. */
export function promptLabel(prompt: Prompt): string | null {
  return typeof prompt === "object" && "label" in prompt ? (prompt.label ?? null) : null;
}

function classify(prompt: Prompt, where: string): PlainPrompt {
  if (typeof prompt === "string") return { kind: "text", text: prompt, images: [] };
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
    const plain = classify(given[forms[0]!] as Prompt, where);
    const images = imagePrompt(given.multiModalData, where);
    if (images.length === 0) return plain;
    if (plain.kind === "text") return { ...plain, images };
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${where}: multiModalData goes with a prompt of text; in messages an image is a part {type: "image_url"}`,
    );
  }
  throw new RequestError(
    "INVALID_ARGUMENT",
    `${where} is neither text, an array of token ids, chat messages, nor an object with one of them`,
  );
}

function imagePrompt(data: MultiModalData | undefined, where: string): readonly string[] {
  if (data === undefined) return [];
  const { image, ...others } = data;
  const unknown = Object.keys(others);
  const images = image === undefined ? [] : Array.isArray(image) ? image : [image];
  if (unknown.length > 0 || !images.every((each) => typeof each === "string" && each !== ""))
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${where}: multiModalData takes image: a path, an http(s) or data URL, or a list of them` +
        (unknown.length > 0 ? `; it has ${unknown.join(", ")}` : ""),
    );
  return images;
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
  if (typeof message !== "object" || typeof message?.role !== "string") return false;
  return (
    typeof message.content === "string" || (Array.isArray(message.content) && message.content.every(isPart))
  );
}

function isPart(value: unknown): value is MessagePart {
  const part = value as Partial<Record<string, unknown>> | null;
  if (part?.type === "text") return typeof part.text === "string";
  return part?.type === "image_url" && typeof (part.image_url as { url?: unknown } | null)?.url === "string";
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
