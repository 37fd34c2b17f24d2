import { z } from "zod";

const count = z.int().nonnegative();
const label = z.string().max(200).nullish();

/** A piece of a message: text, or what else the model's chat template knows. Images do not go in here. */
const part = z.union([z.string(), z.looseObject({ type: z.string() })]);

/** A message as OpenAI writes it; further fields reach the model's chat template. */
export const chatMessage = z
  .looseObject({ role: z.string().min(1), content: z.union([z.string(), z.array(part)]).nullish() })
  .meta({ id: "ChatMessage" });

const objects = z.array(z.looseObject({}));

/** What belongs to a chat besides its messages, by the library's names. */
const CHAT = {
  tools: objects.nullish(),
  documents: objects.nullish(),
  chatTemplateKwargs: z
    .record(z.string(), z.unknown())
    .nullish()
    .meta({ description: "variables of the model's chat template, e.g. enable_thinking" }),
  addGenerationPrompt: z.boolean().nullish(),
  continueFinalMessage: z.union([z.boolean(), z.string().min(1)]).nullish(),
  addSpecial: z
    .boolean()
    .nullish()
    .meta({ description: "whether the tokenizer adds its special tokens; default: to text, not to chats" }),
};

/** The same by the names of vLLM's server. */
export const VLLM_CHAT = {
  tools: CHAT.tools,
  documents: CHAT.documents,
  chat_template_kwargs: CHAT.chatTemplateKwargs,
  add_generation_prompt: CHAT.addGenerationPrompt,
  continue_final_message: CHAT.continueFinalMessage,
  add_special_tokens: CHAT.addSpecial,
};

/** One prompt: text, token ids or a chat. */
export const prompt = z
  .union([
    z.strictObject({ prompt: z.string().min(1), addSpecial: CHAT.addSpecial, label }),
    z.strictObject({ tokenIds: z.array(count).min(1), label }),
    z.strictObject({ messages: z.array(chatMessage).min(1), ...CHAT, label }),
  ])
  .meta({ id: "Prompt" });
