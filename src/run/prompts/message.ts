import { RequestError } from "../../core/errors.ts";

/** A piece of a message: text, an image, or what else the model's chat template knows. */
export type MessagePart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image_url"; readonly image_url: { readonly url: string } | string }
  | { readonly type: string; readonly [field: string]: unknown };

/** A message as OpenAI and transformers write it; fields that are not named here reach the model's chat template too. */
export interface ChatMessage {
  readonly role: string;
  /** `null` or left out: a message that only calls tools. */
  readonly content?: string | null | readonly (MessagePart | string)[];
  readonly [field: string]: unknown;
}

/** Parts that are text, with the field that holds it. */
const TEXT_FIELDS: ReadonlyMap<string, string> = new Map([
  ["text", "text"],
  ["input_text", "text"],
  ["output_text", "text"],
  ["refusal", "refusal"],
]);
const IMAGE_TYPES: ReadonlySet<string> = new Set(["image_url", "image", "input_image"]);
/** What models take that these engines are not asked with. */
const OTHER_MEDIA = /audio|video|file|embeds/;

/** The text of a part, or `null` for one that is none. */
export function textOfPart(part: MessagePart | string): string | null {
  if (typeof part === "string") return part;
  const field = TEXT_FIELDS.get(part.type);
  return field === undefined ? null : ((part as Record<string, unknown>)[field] as string);
}

/** Path or URL of a part's image, or `null` for one that is none. */
export function imageOfPart(part: MessagePart | string): string | null {
  if (typeof part === "string" || !IMAGE_TYPES.has(part.type)) return null;
  const { image_url, image, url, path } = part as Record<string, unknown>;
  const source = image_url ?? image ?? url ?? path;
  return typeof source === "string" ? source : ((source as { url: string } | undefined)?.url ?? null);
}

/** Paths and URLs of the images of a chat, in the order in which they are said. */
export const imagesOf = (messages: readonly ChatMessage[]): string[] =>
  messages.flatMap(({ content }) =>
    typeof content === "object" && content !== null
      ? content.map(imageOfPart).filter((image) => image !== null)
      : [],
  );

/**
 * Messages that were read from somewhere.
 *
 * @throws RequestError `INVALID_ARGUMENT` naming the message and what is wrong with it.
 */
export function readMessages(value: unknown, where: string): readonly ChatMessage[] {
  if (!Array.isArray(value)) throw invalid(`${where} must be a list of messages, each with role and content`);
  if (value.length === 0) throw invalid(`${where} is empty: a chat has one message at least`);
  for (const [i, message] of value.entries()) checkMessage(message, `${where}.${i}`);
  return value as readonly ChatMessage[];
}

function checkMessage(value: unknown, where: string): void {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(`${where} must be an object with role and content`);
  const message = value as Record<string, unknown>;
  if (typeof message.role !== "string" || message.role === "")
    throw invalid(
      "from" in message && "value" in message
        ? `${where} has from and value (ShareGPT): rename them to role and content, "human" to "user" and "gpt" to "assistant"`
        : `${where}.role: it must be a text, as "user"`,
    );
  const { content } = message;
  if (content === undefined && message.role !== "assistant")
    throw invalid(
      `${where}.content: it is missing${["text", "value", "message"].filter((name) => name in message).map((name) => `; rename ${name} to content`)}`,
    );
  if (content === undefined || content === null || typeof content === "string") return;
  if (!Array.isArray(content)) throw invalid(`${where}.content: it must be text or a list of parts`);
  for (const [i, part] of content.entries()) checkPart(part, `${where}.content.${i}`);
}

function checkPart(value: unknown, where: string): void {
  if (typeof value === "string") return;
  const part = value as MessagePart | null;
  if (typeof part !== "object" || typeof part?.type !== "string")
    throw invalid(`${where} must be a text or a part with a type, as {"type": "text", "text": "..."}`);
  const field = TEXT_FIELDS.get(part.type);
  if (field !== undefined && typeof (part as Record<string, unknown>)[field] !== "string")
    throw invalid(`${where}.${field}: it must be a text`);
  if (IMAGE_TYPES.has(part.type) && !imageOfPart(part))
    throw invalid(
      `${where}: an image is {"type": "image_url", "image_url": {"url": "a path, an http(s) or data URL"}}`,
    );
  if (!IMAGE_TYPES.has(part.type) && OTHER_MEDIA.test(part.type))
    throw invalid(`${where}: a part of type ${part.type} cannot go in; text and images can`);
}

const invalid = (message: string) => new RequestError("INVALID_ARGUMENT", message);
