import { z } from "zod";
import { list, tokenIds } from "../host/list-schema.ts";

/** A chat longer than this is no chat. */
const MAX_MESSAGES = 4096;
/** Parts of a message, tools and documents. */
const MAX_OBJECTS = 1024;

const label = z.string().max(200).nullish();

/** A piece of a message: text, or what else the model's chat template knows. Images do not go in here. */
const part = z.union([z.string(), z.looseObject({ type: z.string() })]);

/** A message as OpenAI writes it; further fields reach the model's chat template. */
const chatMessage = z
  .looseObject({
    role: z.string().min(1),
    content: z.union([z.string(), list(part, { max: MAX_OBJECTS })]).nullish(),
  })
  .meta({ id: "ChatMessage" });

const objects = list(z.looseObject({}), { max: MAX_OBJECTS });
export const messages = list(chatMessage, { min: 1, max: MAX_MESSAGES });

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
    z.strictObject({ tokenIds, label }),
    z.strictObject({ messages, ...CHAT, label }),
  ])
  .meta({ id: "Prompt" });
