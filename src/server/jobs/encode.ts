import { setImmediate } from "node:timers/promises";
import { RequestError } from "../../core/errors.ts";
import { textOfPart } from "../../run/prompts/message.ts";
import type { Prompt } from "../../run/prompts/prompt-object.ts";
import type { LoadedModel } from "./models.ts";

/** Characters of the longest token that any vocabulary has: a text of more than so many a token does not fit. */
const LONGEST_TOKEN = 512;

/**
 * The tokens of a request's prompts, when it is its turn. One prompt after the other, so that a request of thousands
 * holds up nobody, and ends with its client.
 *
 * @throws RequestError as `LanguageModel.encode`; ServerError `BUSY`; the signal's reason.
 */
export function encodeAll(
  { llm, encoding }: LoadedModel,
  prompts: readonly Prompt[],
  signal: AbortSignal,
): Promise<Int32Array[]> {
  return encoding.run(
    {},
    signal,
    () => {},
    async () => {
      const encoded: Int32Array[] = [];
      for (const prompt of prompts) {
        signal.throwIfAborted();
        assertMayFit(prompt, llm.contextSize);
        encoded.push(await llm.encode(prompt));
        // Token ids need no thread: others would not be heard between them.
        await setImmediate();
      }
      return encoded;
    },
  );
}

/** A text or chat that is too long whatever its tokens are need not be made into tokens. */
function assertMayFit(prompt: Prompt, contextSize: number): void {
  const length = lengthOf(prompt);
  if (length > contextSize * LONGEST_TOKEN)
    throw new RequestError(
      "CONTEXT_OVERFLOW",
      `the prompt has ${length} characters, which is more than the model's context of ${contextSize} tokens can hold`,
    );
}

/** Characters of a text, or of what is said in a chat. */
function lengthOf(prompt: Prompt): number {
  if (typeof prompt !== "object" || !("prompt" in prompt || "messages" in prompt)) return 0;
  if (typeof prompt.prompt === "string") return prompt.prompt.length;
  let length = 0;
  for (const { content } of prompt.messages ?? [])
    for (const part of typeof content === "string" ? [content] : (content ?? []))
      length += textOfPart(part)?.length ?? 0;
  return length;
}

/** How long the longest is, and all together. */
export function lengthsOf(encoded: readonly Int32Array[]): {
  readonly longest: number;
  readonly total: number;
} {
  let longest = 0;
  let total = 0;
  for (const { length } of encoded) {
    longest = Math.max(longest, length);
    total += length;
  }
  return { longest, total };
}
