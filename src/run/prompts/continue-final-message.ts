import { RequestError } from "../../core/errors.ts";
import { strip } from "./jinja/syntax/whitespace.ts";
import type { ChatMessage } from "./message.ts";

/** Where the last message ends in the rendered chat. Its space tells whether the template keeps spaces there. */
const TAG = "CONTINUE_FINAL_MESSAGE_TAG ";

/**
 * Render a chat up to the end of its last message, so that the model goes on with it.
 *
 * Source: transformers 5, `render_jinja_template` with `continue_final_message`.
 *
 * @param field of the message that goes on.
 * @throws RequestError `INVALID_ARGUMENT` where there is nothing to go on with, or the template leaves it out.
 */
export function continueFinalMessage(
  messages: readonly ChatMessage[],
  field: string,
  template: { readonly source: string; render(messages: readonly ChatMessage[]): string },
): string {
  const last = messages.at(-1)!;
  const final = last[field];
  if (final === undefined || final === null)
    throw invalid(`continueFinalMessage: the last message has no ${field} to go on with`);
  if (!template.source.includes(field))
    throw invalid(`continueFinalMessage: the model's chat template does not read ${field}`);
  const [text, tagged] = withTag(final);
  const rendered = template.render([...messages.slice(0, -1), { ...last, [field]: tagged } as ChatMessage]);
  const at = rendered.lastIndexOf(TAG.trim());
  if (at < 0 || !rendered.includes(strip(text, null, { left: true, right: true })))
    throw invalid("continueFinalMessage: the model's chat template does not write the last message as it is");
  const before = rendered.slice(0, at);
  return rendered.startsWith(TAG, at) ? before : strip(before, null, { left: false, right: true });
}

/** The text that goes on, and the content with the tag behind it. */
function withTag(content: unknown): readonly [string, unknown] {
  if (typeof content === "string") return [content, content + TAG];
  const parts = Array.isArray(content) ? (content as { text?: unknown }[]) : [];
  const index = parts.findLastIndex((part) => typeof part === "object" && part !== null && "text" in part);
  const part = parts[index];
  if (part === undefined) throw invalid("continueFinalMessage: the last message has no text to go on with");
  const text = String(part.text);
  return [text, parts.with(index, { ...part, text: text + TAG })];
}

const invalid = (message: string) => new RequestError("INVALID_ARGUMENT", message);
