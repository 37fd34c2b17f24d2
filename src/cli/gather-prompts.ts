import type { Prompt } from "../prompt.ts";
import type { CommandContext } from "./command.ts";
import { readPrompts, readTokenIds } from "./prompt-files.ts";
import { UsageError } from "./usage-error.ts";

/** Where prompts come from, besides the texts of the command line. */
export interface PromptFlags {
  readonly prompts?: readonly string[];
  readonly tokenIds?: string;
  readonly chat?: boolean;
}

/** Texts, then files, in the order of the command line. */
export async function gatherPrompts(
  texts: readonly string[],
  { prompts: files = [], tokenIds, chat }: PromptFlags,
  stdin: CommandContext["stdin"],
): Promise<Prompt[]> {
  const fromFiles: Prompt[] = [];
  for (const file of files) fromFiles.push(...(await readPrompts(file, stdin)));
  const prompts = [...texts, ...fromFiles].map((prompt) => (chat ? asChat(prompt) : prompt));
  if (tokenIds !== undefined) prompts.push(...(await readTokenIds(tokenIds)));
  if (prompts.length === 0)
    throw new UsageError("nothing to run: give TEXT, --prompts FILE or --token-ids FILE.json");
  return prompts;
}

/** Text as a user's message; chats and token ids stay what they are. */
function asChat(prompt: Prompt): Prompt {
  if (typeof prompt === "string") return [{ role: "user", content: prompt }];
  if (typeof prompt === "object" && "prompt" in prompt && prompt.prompt !== undefined)
    return { messages: [{ role: "user", content: prompt.prompt }], label: prompt.label ?? null };
  return prompt;
}
