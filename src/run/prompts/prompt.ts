import { type Edit, editsField } from "../../core/edits.ts";
import type { Engine } from "../../core/engine.ts";
import { RequestError } from "../../core/errors.ts";
import type { MediaPrompt, MediaSpan } from "../../core/request.ts";
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

/**
 * Turn a prompt into the tokens that go into the model.
 *
 * Text is tokenised as the model's tokenizer is set up (a BOS token where it wants one); chat messages pass through
 * the model's own template first; token ids are taken as they are.
 *
 * @throws RequestError `INVALID_ARGUMENT` naming the prompt, for example an id outside the vocabulary.
 */
export async function encodePrompt(engine: Engine, prompt: Prompt, where: string): Promise<EncodedPrompt> {
  const encoded = await encode(engine, objectOf(prompt, where), where);
  const { tokens } = encoded;
  if (tokens.length === 0)
    throw new RequestError("INVALID_ARGUMENT", `${where} is empty: there is no token to run`);
  assertInVocabulary(tokens, engine.model.vocabSize, where);
  return encoded;
}

async function encode(engine: Engine, prompt: PromptObject, where: string): Promise<EncodedPrompt> {
  if (prompt.tokenIds) return { tokens: Int32Array.from(prompt.tokenIds) };
  const isChat = prompt.prompt === undefined;
  const text = isChat ? await chatText(engine, prompt, where) : prompt.prompt!;
  assertWhole(text, where);
  const images = isChat ? imagesOf(prompt.messages!) : listOf(prompt.multiModalData?.image);
  if (images.length > 0) return encodeWithImages(engine, { prompt: text, images }, prompt, where);
  const addSpecial = prompt.addSpecial ?? !isChat;
  const tokens = await engine.tokenize(text, { addSpecial, parseSpecial: true });
  if (addSpecial) await warnOfDoubledTokens(engine, text, tokens, where);
  return { tokens };
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
  const [added, own] = await Promise.all(
    [true, false].map((addSpecial) => engine.tokenize(text, { addSpecial, parseSpecial: true })),
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

/** The label of a prompt, or `null`. */
export function promptLabel(prompt: Prompt): string | null {
  return typeof prompt === "object" && "label" in prompt ? (prompt.label ?? null) : null;
}

/** What is to be changed for a prompt alone. */
export function promptEdits(prompt: Prompt): readonly Edit[] | undefined {
  return typeof prompt === "object" && "edits" in prompt
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
