import { RequestError } from "../../core/errors.ts";
import { PLAIN_JSON, toJson } from "./jinja/library/json.ts";
import { parseJson } from "./jinja/library/parse-json.ts";
import { fromJson } from "./jinja/values.ts";
import { type ChatMessage, imageOfPart, type MessagePart, textOfPart } from "./message.ts";
import type { TemplateShape } from "./template-shape.ts";

/**
 * The messages as the template is given them.
 *
 * @throws RequestError `INVALID_ARGUMENT` for parts that are no text where the template takes text alone.
 */
export function adaptMessages(
  messages: readonly ChatMessage[],
  shape: TemplateShape,
  where: string,
): ChatMessage[] {
  return messages.map((message, i) => adaptMessage(message, shape, `${where}: messages.${i}`));
}

function adaptMessage(message: ChatMessage, shape: TemplateShape, where: string): ChatMessage {
  const { tool_calls: calls, ...others } = message;
  const role = adaptRole(message.role, shape);
  // A client writes all fields it knows, and no calls as nothing.
  const hasCalls = calls !== undefined && calls !== null && !(Array.isArray(calls) && calls.length === 0);
  const content = adaptContent(message, role, hasCalls, shape, where);
  const adapted: Record<string, unknown> = { ...others, ...content, role };
  if (hasCalls)
    adapted.tool_calls = Array.isArray(calls) ? calls.map((call) => adaptCall(call, shape)) : calls;
  return { ...adapted, ...adaptReasoning(message, shape) } as ChatMessage;
}

/** Of OpenAI's newer models; to others the developer is who the system is. */
const adaptRole = (role: string, shape: TemplateShape) =>
  role === "developer" && !shape.takesRole(role) && shape.takesRole("system") ? "system" : role;

function adaptContent(
  { content }: ChatMessage,
  role: string,
  hasCalls: boolean,
  shape: TemplateShape,
  where: string,
): { content?: unknown } {
  if (content === undefined || content === null) {
    if (shape.takesNoContent(role, content, hasCalls)) return content === null ? { content } : {};
    return { content: "" };
  }
  if (typeof content === "string") {
    const asParts = content !== "" && !shape.takesText(role) && shape.takesParts(role);
    return { content: asParts ? [{ type: "text", text: content }] : content };
  }
  if (shape.takesParts(role)) return { content: content.map(adaptPart) };
  const texts = content.map(textOfPart);
  const other = content[texts.indexOf(null)];
  if (other === undefined) return { content: texts.join("") };
  throw new RequestError(
    "INVALID_ARGUMENT",
    `${where}: the model's chat template takes text alone from ${role}, and there is a part of type ` +
      `${(other as MessagePart).type}${imageOfPart(other) === null ? "" : "; an image goes in as multiModalData, with the model's own placeholder in a prompt of text"}`,
  );
}

/** A part as templates know it: an image is a place for one, wherever it comes from. */
function adaptPart(part: MessagePart | string): unknown {
  const text = textOfPart(part);
  if (typeof part === "string") return { type: "text", text: part };
  const { image_url, image, url, path, refusal, ...others } = part as Record<string, unknown>;
  if (text !== null) return { ...others, type: "text", text };
  return imageOfPart(part) === null ? part : { ...others, type: "image" };
}

/** OpenAI writes a call's arguments as JSON text, transformers as an object. */
function adaptCall(call: unknown, shape: TemplateShape): unknown {
  const { function: target, ...others } = (call ?? {}) as { function?: { arguments?: unknown } };
  if (typeof target !== "object" || target === null || !("arguments" in target)) return call;
  return { ...others, function: { ...target, arguments: adaptArguments(target.arguments, shape) } };
}

function adaptArguments(given: unknown, shape: TemplateShape): unknown {
  if (given === null || given === "") return shape.takesArguments("object") ? {} : "{}";
  if (typeof given === "string") {
    if (shape.takesArguments("text")) return given;
    const parsed = parseObject(given);
    return parsed !== null && shape.takesArguments("object") ? parsed : given;
  }
  return shape.takesArguments("object") || !shape.takesArguments("text")
    ? given
    : toJson(fromJson(given), PLAIN_JSON);
}

function parseObject(text: string): object | null {
  try {
    const parsed = parseJson(text);
    return typeof parsed === "object" && !Array.isArray(parsed) ? parsed : null;
  } catch {
    return null;
  }
}

/** The reasoning of a message under the name that the template reads, where it came under another. */
function adaptReasoning(message: ChatMessage, shape: TemplateShape): Record<string, unknown> {
  const read = shape.reasoningFields;
  if (read.some((name) => message[name] !== undefined && message[name] !== null)) return {};
  const given = ["reasoning_content", "reasoning", "thinking"].find(
    (name) => typeof message[name] === "string",
  );
  return given !== undefined && read[0] !== undefined ? { [read[0]]: message[given] } : {};
}
