import type { Prompt, PromptObject } from "../../run/prompts/prompt-object.ts";
import type { CommandContext } from "../command.ts";
import { UsageError } from "../usage-error.ts";
import { readPrompts, readTokenIds } from "./prompt-files.ts";

/** Where prompts come from, besides the texts of the command line, and what is said of all of them. */
export interface PromptFlags {
  readonly prompts?: readonly string[];
  readonly tokenIds?: string;
  readonly chat?: boolean;
  readonly chatTemplateKwargs?: Readonly<Record<string, unknown>>;
  /** `false`: texts have their special tokens already. */
  readonly specialTokens?: boolean;
}

/** Texts, then files, in the order of the command line. */
export async function gatherPrompts(
  texts: readonly string[],
  flags: PromptFlags,
  stdin: CommandContext["stdin"],
): Promise<Prompt[]> {
  const fromFiles: Prompt[] = [];
  for (const file of flags.prompts ?? []) fromFiles.push(...(await readPrompts(file, stdin)));
  const prompts = [...texts, ...fromFiles].map((prompt) => withFlags(prompt, flags));
  if (flags.tokenIds !== undefined) prompts.push(...(await readTokenIds(flags.tokenIds)));
  if (prompts.length === 0)
    throw new UsageError("nothing to run: give TEXT, --prompts FILE or --token-ids FILE.json");
  return prompts;
}

/** A prompt with what the flags say, where it does not say so itself. */
function withFlags(given: Prompt, { chat = false, chatTemplateKwargs, specialTokens }: PromptFlags): Prompt {
  if (!chat && chatTemplateKwargs === undefined && specialTokens !== false) return given;
  let prompt = (typeof given === "string" ? { prompt: given } : given) as PromptObject;
  // Chats and token ids stay what they are.
  if (chat && typeof prompt.prompt === "string") {
    const { prompt: content, ...others } = prompt;
    prompt = { ...others, messages: [{ role: "user", content }] };
  }
  if (prompt.messages)
    return chatTemplateKwargs === undefined
      ? prompt
      : { ...prompt, chatTemplateKwargs: { ...chatTemplateKwargs, ...prompt.chatTemplateKwargs } };
  if (prompt.prompt === undefined) return prompt;
  return specialTokens === false ? { addSpecial: false, ...prompt } : prompt;
}
