import { RequestError } from "../../core/errors.ts";
import type { LanguageModel } from "../../run/language-model.ts";
import { textOfPart } from "../../run/prompts/message.ts";
import type { Prompt } from "../../run/prompts/prompt-object.ts";
import { ServerError } from "../host/server-error.ts";

/** Characters of the longest token that any vocabulary has: a text of more than so many a token does not fit. */
const LONGEST_TOKEN = 512;

/** Requests whose prompts are being made into tokens; it is quick, and they take turns piece by piece. */
const MAX_REQUESTS = 64;

/** Makes prompts into tokens, of several requests at the same time: one of thousands of prompts holds up nobody. */
export class Encoder {
  readonly #llm: LanguageModel;
  #requests = 0;

  constructor(llm: LanguageModel) {
    this.#llm = llm;
  }

  /**
   * The tokens of a request's prompts. It ends with the request's client.
   *
   * @throws RequestError as `LanguageModel.encode`; ServerError `BUSY`; the signal's reason.
   */
  async encode(prompts: readonly Prompt[], signal: AbortSignal): Promise<Int32Array[]> {
    if (this.#requests >= MAX_REQUESTS)
      throw new ServerError(
        "BUSY",
        `the prompts of ${MAX_REQUESTS} requests are being read already; try again later`,
      );
    this.#requests++;
    try {
      for (const [index, prompt] of prompts.entries())
        assertMayFit(prompt, this.#llm.contextSize, prompts.length === 1 ? "the prompt" : `prompt ${index}`);
      return await this.#llm.encodeAll(prompts, { signal });
    } finally {
      this.#requests--;
    }
  }
}

/** A text or chat that is too long whatever its tokens are need not be made into tokens. */
function assertMayFit(prompt: Prompt, contextSize: number, where: string): void {
  const length = lengthOf(prompt);
  if (length > contextSize * LONGEST_TOKEN)
    throw new RequestError(
      "CONTEXT_OVERFLOW",
      `${where} has ${length} characters, which is more than the model's context of ${contextSize} tokens can hold`,
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
