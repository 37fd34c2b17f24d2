import { RequestError } from "../../core/errors.ts";
import { adaptMessages } from "./adapt-messages.ts";
import { continueFinalMessage } from "./continue-final-message.ts";
import { TemplateOverrun, within } from "./jinja/deadline.ts";
import {
  JinjaError,
  TemplateRefusal,
  TemplateRuntimeError,
  TemplateSyntaxError,
  UnsupportedConstruct,
} from "./jinja/errors.ts";
import { Template } from "./jinja/template.ts";
import type { ChatMessage } from "./message.ts";
import { TemplateShape } from "./template-shape.ts";

/** A model's chat templates, and the texts of its special tokens by their names (`bos`, `eos`, `unk` ...). */
export interface ChatTemplates {
  /** Of the model as it was loaded, for messages. */
  readonly model: string;
  readonly template: string | null;
  /** Templates for purposes, as `tool_use`. */
  readonly named?: Readonly<Record<string, string>> | undefined;
  readonly specialTokens: Readonly<Record<string, string>>;
}

/** A chat as it is to be rendered. */
export interface Chat {
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly object[] | null;
  readonly documents: readonly object[] | null;
  /** Further variables of the template, e.g. `enable_thinking`. */
  readonly variables: Readonly<Record<string, unknown>>;
  readonly addGenerationPrompt: boolean;
  /** The field of the last message that the model goes on with; `null`: it writes a new message. */
  readonly continueFinalMessage: string | null;
}

interface Compiled {
  readonly template: Template;
  readonly shape: TemplateShape;
}

/** For one chat, ms: templates of models take one or two, and a server has other clients. */
const RENDER_MS = 2000;

/** Models that are loaded have one or two each. */
const MAX_COMPILED = 16;
const compiled = new Map<string, Compiled>();

/**
 * The text of a chat, as transformers' `apply_chat_template` writes it with the model's own template.
 *
 * @throws RequestError `INVALID_ARGUMENT` where there is no template, or it does not take the chat; says which of both.
 */
export function renderChat(templates: ChatTemplates, chat: Chat, where: string): string {
  const source = chooseTemplate(templates, chat, where);
  const render = () => {
    const { template, shape } = compile(source, templates);
    const { tools, documents, variables, addGenerationPrompt } = chat;
    const messages = adaptMessages(chat.messages, shape, where);
    const write = (each: readonly ChatMessage[]) =>
      template.render({
        ...specialVariables(templates),
        ...variables,
        messages: each,
        tools,
        documents,
        add_generation_prompt: addGenerationPrompt,
      });
    return chat.continueFinalMessage === null
      ? write(messages)
      : continueFinalMessage(messages, chat.continueFinalMessage, { source, render: write });
  };
  return explained(templates, where, () => within(RENDER_MS, render));
}

/** As transformers and llama.cpp choose: the one for tools where there are tools. */
function chooseTemplate(
  { model, template, named = {} }: ChatTemplates,
  { tools }: Chat,
  where: string,
): string {
  const chosen =
    tools !== null && named.tool_use !== undefined ? named.tool_use : (template ?? named.default);
  if (chosen !== undefined && chosen !== null) return chosen;
  const others = Object.keys(named);
  throw new RequestError(
    "INVALID_ARGUMENT",
    `${where} is a chat, but ${model} has no chat template${others.length > 0 ? ` for it (only ${others.join(", ")})` : ""}; ` +
      "pass text or token ids",
  );
}

/** Only those that the model has, as transformers gives them. */
const specialVariables = ({ specialTokens }: ChatTemplates) =>
  Object.fromEntries(
    Object.entries(specialTokens)
      .filter(([, text]) => text !== "")
      .map(([name, text]) => [`${name}_token`, text]),
  );

function compile(source: string, templates: ChatTemplates): Compiled {
  const special = specialVariables(templates);
  const key = JSON.stringify([source, special]);
  const known = compiled.get(key);
  if (known) return known;
  const template = new Template(source);
  const probe = (messages: readonly ChatMessage[], tools: readonly object[] | null) => {
    try {
      return template.render({ ...special, messages, tools, documents: null, add_generation_prompt: false });
    } catch (error) {
      if (error instanceof JinjaError) return null;
      throw error;
    }
  };
  const fresh = { template, shape: new TemplateShape(probe, source) };
  if (compiled.size >= MAX_COMPILED) compiled.delete(compiled.keys().next().value!);
  compiled.set(key, fresh);
  return fresh;
}

const ELSEWHERE =
  "render the chat elsewhere, as with transformers' apply_chat_template, and pass the text with addSpecial: false";

/** Say who is to blame: the chat, the template or this program. */
function explained(templates: ChatTemplates, where: string, work: () => string): string {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof JinjaError)) throw cause;
    const line = cause.line === null ? "" : ` (line ${cause.line} of the template)`;
    throw new RequestError("INVALID_ARGUMENT", `${where}: ${reason(cause, templates, line)}`, { cause });
  }
}

/** Ollama's templates look like this: `{{ if .System }}`, `{{ .Prompt }}`, `{{- range .Messages }}`. */
const GO_TEMPLATE =
  /\{\{-? *(?:(?:if|range|with|template|define|block)\b[^}]*)?[.$][A-Z]|\{\{-? *end *-?\}\}/;

function reason(error: JinjaError, { model, template }: ChatTemplates, line: string): string {
  const { message } = error;
  if (error instanceof TemplateOverrun)
    return `the chat template of ${model} did not come to its end with these messages in ${RENDER_MS / 1000} s${line}; ${ELSEWHERE}`;
  if (error instanceof TemplateRefusal)
    return `the chat template of ${model} refuses the messages: ${message}${line}`;
  if (error instanceof TemplateRuntimeError)
    return `the chat template of ${model} cannot take these messages, in any program: ${message}${line}`;
  if (error instanceof UnsupportedConstruct)
    return `the chat template of ${model} needs what moescope's Jinja does not have: ${message}${line}; ${ELSEWHERE}`;
  if (error instanceof TemplateSyntaxError && GO_TEMPLATE.test(template ?? ""))
    return `the chat template of ${model} is one of Go, as Ollama writes them, and no Jinja; ${ELSEWHERE}`;
  return `the chat template of ${model} is no valid Jinja: ${message}${line}; ${ELSEWHERE}`;
}
