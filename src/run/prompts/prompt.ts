import { setImmediate } from "node:timers/promises";
import { type Edit, editsField } from "../../core/edits.ts";
import type { Engine } from "../../core/engine.ts";
import { RequestError } from "../../core/errors.ts";
import { orAborted } from "../../core/or-aborted.ts";
import type { EngineText, MediaPrompt, MediaSpan } from "../../core/request.ts";
import type { RowSelection } from "../../core/row-selection.ts";
import { assertInVocabulary } from "../../core/token-ids.ts";
import { imagesOf, readMessages } from "./message.ts";
import type { Prompt, PromptObject } from "./prompt-object.ts";
import { readPromptObject, readTokenIds } from "./read-prompt.ts";
import { warnOfDoubledTokens } from "./special-tokens.ts";

/** A prompt as it goes into a run. */
export interface EncodedPrompt {
  readonly tokens: Int32Array;
  /** For a prompt with images. */
  readonly media?: MediaPrompt;
  readonly spans?: readonly MediaSpan[];
}

/** A prompt that has been read: it has its tokens, or is a text whose tokens the engine knows. */
type ReadPrompt = EncodedPrompt | { readonly text: NamedText };
type NamedText = EngineText & { readonly where: string };

/**
 * So many prompts, or characters and ids of them, become tokens at once. A message to the engine takes as long as some
 * hundreds of short texts; so many are done in some tens of milliseconds, which a run that goes on waits.
 */
const PIECE = { prompts: 1024, size: 1 << 18 };

/**
 * Turn prompts into the tokens that go into the model, in order.
 *
 * Text is tokenised as the model's tokenizer is set up (a BOS token where it wants one); chat messages pass through
 * the model's own template first; token ids are taken as they are.
 *
 * @throws RequestError `INVALID_ARGUMENT` naming the prompt, for example an id outside the vocabulary; the signal's reason.
 */
export async function* encodePrompts(
  engine: Engine,
  prompts: readonly Prompt[],
  signal?: AbortSignal,
): AsyncGenerator<EncodedPrompt, void, void> {
  const where = (index: number) => (prompts.length === 1 ? "the prompt" : `prompt ${index}`);
  for (let from = 0; from < prompts.length; ) {
    // Others are heard between the pieces.
    if (from > 0) await setImmediate();
    const piece: ReadPrompt[] = [];
    let size = 0;
    while (from + piece.length < prompts.length && piece.length < PIECE.prompts && size < PIECE.size) {
      signal?.throwIfAborted();
      const index = from + piece.length;
      const prompt = await readPrompt(engine, prompts[index]!, where(index));
      piece.push(prompt);
      size += "text" in prompt ? prompt.text.text.length : prompt.tokens.length;
    }
    const texts = piece.flatMap((prompt) => ("text" in prompt ? [prompt.text] : []));
    const tokens = texts.length === 0 ? [] : await orAborted(tokensOf(engine, texts, prompts.length), signal);
    let done = 0;
    for (const [i, prompt] of piece.entries()) {
      const encoded = "text" in prompt ? { tokens: tokens[done++]! } : prompt;
      assertTokens(engine, encoded.tokens, where(from + i));
      yield encoded;
    }
    from += piece.length;
  }
}

/** @param among how many prompts: of a single one errors need not say which it is. */
async function tokensOf(engine: Engine, texts: readonly NamedText[], among: number): Promise<Int32Array[]> {
  const tokens = await engine.tokenize(
    among === 1 ? texts.map((text) => ({ ...text, where: undefined })) : texts,
  );
  await warnOfDoubledTokens(engine, texts, tokens);
  return tokens;
}

function assertTokens(engine: Engine, tokens: Int32Array, where: string): void {
  if (tokens.length === 0)
    throw new RequestError("INVALID_ARGUMENT", `${where} is empty: there is no token to run`);
  assertInVocabulary(tokens, engine.model.vocabSize, where);
}

async function readPrompt(engine: Engine, given: Prompt, where: string): Promise<ReadPrompt> {
  const prompt = objectOf(given, where);
  if (prompt.tokenIds) return { tokens: new Int32Array(prompt.tokenIds) };
  const isChat = prompt.prompt === undefined;
  const text = isChat ? await chatText(engine, prompt, where) : prompt.prompt!;
  assertWhole(text, where);
  const images = isChat ? imagesOf(prompt.messages!) : listOf(prompt.multiModalData?.image);
  if (images.length > 0) return encodeWithImages(engine, { prompt: text, images }, prompt, where);
  return { text: { text, addSpecial: prompt.addSpecial ?? !isChat, parseSpecial: true, where } };
}

async function encodeWithImages(
  engine: Engine,
  media: MediaPrompt,
  { addSpecial, prompt: plain }: PromptObject,
  where: string,
): Promise<EncodedPrompt> {
  const isChat = plain === undefined;
  if (!engine.encode)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${where} comes with an image, but ${engine.model.name} on this engine takes text only`,
    );
  if (addSpecial !== undefined)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${where}: addSpecial cannot be chosen for a prompt with images`,
    );
  const given = isChat ? { ...media, prompt: await withoutBos(engine, media.prompt) } : media;
  const { tokens, media: spans } = await engine.encode(given);
  return { tokens, media: given, spans };
}

/** A rendered chat without its BOS where the engine, which tokenises it with the images, adds one. */
async function withoutBos(engine: Engine, text: string): Promise<string> {
  const { bos = "" } = engine.specialTokens;
  if (bos === "" || !text.startsWith(bos)) return text;
  const [added, own] = await engine.tokenize(
    [true, false].map((addSpecial) => ({ text, addSpecial, parseSpecial: true })),
  );
  return added!.length > own!.length && added![0] === added![1] ? text.slice(bos.length) : text;
}

async function chatText(engine: Engine, prompt: PromptObject, where: string): Promise<string> {
  // Loaded when a chat comes: most prompts are text, and importing the library should be quick.
  const { renderApart } = await import("./render-apart.ts");
  const { continueFinalMessage = false } = prompt;
  return renderApart(
    {
      model: engine.model.name,
      template: engine.chatTemplate,
      named: engine.namedTemplates,
      specialTokens: engine.specialTokens,
    },
    {
      messages: prompt.messages!,
      tools: prompt.tools ?? null,
      documents: prompt.documents ?? null,
      variables: prompt.chatTemplateKwargs ?? {},
      addGenerationPrompt: prompt.addGenerationPrompt ?? !continueFinalMessage,
      continueFinalMessage: continueFinalMessage === true ? "content" : continueFinalMessage || null,
    },
    where,
  );
}

const listOf = (image: string | readonly string[] | undefined): readonly string[] =>
  image === undefined ? [] : typeof image === "string" ? [image] : image;

/** @throws RequestError for half a character, which no tokenizer has. */
function assertWhole(text: string, where: string): void {
  const half = /\p{Surrogate}/u.exec(text);
  if (half)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${where} holds half a character (U+${half[0].charCodeAt(0).toString(16).toUpperCase()} alone) at ${half.index}`,
    );
}

/** The selection that a prompt brings along, or `null`. */
export function promptSelect(prompt: Prompt): RowSelection | null {
  return typeof prompt === "object" && "select" in prompt ? (prompt.select ?? null) : null;
}

/** Whether a prompt is a chat, as far as one can see without reading it. */
export function isChatPrompt(prompt: Prompt): boolean {
  if (Array.isArray(prompt)) return typeof prompt[0] === "object";
  return typeof prompt === "object" && prompt !== null && "messages" in prompt && Boolean(prompt.messages);
}

/** The label of a prompt, or `null`. */
export function promptLabel(prompt: Prompt): string | null {
  return typeof prompt === "object" && "label" in prompt ? (prompt.label ?? null) : null;
}

/** What is to be changed for a prompt alone. */
export function promptEdits(prompt: Prompt): readonly Edit[] | undefined {
  return typeof prompt === "object" && prompt !== null && "edits" in prompt
    ? editsField(prompt.edits ?? [], "edits")
    : undefined;
}

/** Any form of a prompt as the object it is short for. */
function objectOf(prompt: Prompt, where: string): PromptObject {
  if (typeof prompt === "string") return { prompt };
  if (prompt instanceof Int32Array) return { tokenIds: prompt };
  if (Array.isArray(prompt))
    return prompt.every((item) => typeof item === "number")
      ? { tokenIds: readTokenIds(prompt, where) }
      : { messages: readMessages(prompt, where) };
  if (typeof prompt === "object" && prompt !== null) return readPromptObject(prompt, where, "library");
  throw new RequestError(
    "INVALID_ARGUMENT",
    `${where} is neither text, an array of token ids, chat messages, nor an object with one of them`,
  );
}
