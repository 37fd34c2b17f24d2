import type { ChatMessage } from "./message.ts";

/** Renders a chat, or gives `null` where the template does not take it. */
export type Probe = (messages: readonly ChatMessage[], tools: readonly object[] | null) => string | null;

/** Words that no template says by itself. */
const FIRST = "qzprobeone";
const SECOND = "qzprobetwo";

const TOOL = {
  type: "function",
  function: {
    name: FIRST,
    description: FIRST,
    parameters: { type: "object", properties: { [FIRST]: { type: "string" } }, required: [FIRST] },
  },
};

/** The fields that models' templates read a message's reasoning from. */
const REASONING = ["reasoning_content", "reasoning", "thinking"] as const;

/**
 * What a chat template can take, found by rendering small chats with it: whether a role's content may be text or parts, a
 * tool call's arguments an object or JSON text, content nothing. A message is given as it came where that works, and in
 * the other form only where it does not.
 */
export class TemplateShape {
  readonly #probe: Probe;
  readonly #source: string;
  readonly #known = new Map<string, boolean>();

  constructor(probe: Probe, source: string) {
    this.#probe = probe;
    this.#source = source;
  }

  takesText(role: string): boolean {
    return this.#once(`text ${role}`, () => this.#says(around(role, { content: `${FIRST} ${SECOND}` })));
  }

  /** All parts, and not as the text of a list. */
  takesParts(role: string): boolean {
    const content = [FIRST, SECOND].map((text) => ({ type: "text", text }));
    const written = new RegExp(`text['"]?: *['"]${FIRST}`);
    return this.#once(`parts ${role}`, () => this.#says(around(role, { content }), written));
  }

  /** @param content left out or `null`. @param calls whether the message calls tools. */
  takesNoContent(role: string, content: null | undefined, calls: boolean): boolean {
    return this.#once(`content ${role} ${content} ${calls}`, () => {
      const further = calls ? { tool_calls: [toolCall({ [FIRST]: SECOND })] } : {};
      const render = (fields: object) => this.#render(around(role, { ...fields, ...further }));
      const empty = render({ content: "" });
      const absent = render(content === null ? { content } : {});
      return absent !== null && count(absent, "None") <= count(empty ?? "", "None");
    });
  }

  takesArguments(as: "object" | "text"): boolean {
    return this.#once(`arguments ${as}`, () => {
      const given = as === "object" ? { [FIRST]: SECOND } : JSON.stringify({ [FIRST]: SECOND });
      // A text that was written as JSON once more has its quotes escaped.
      return this.#says(
        conversation({ role: "assistant", content: "", tool_calls: [toolCall(given)] }),
        new RegExp(`\\\\"${FIRST}`),
      );
    });
  }

  takesRole(role: string): boolean {
    return this.takesText(role) || this.takesParts(role);
  }

  /** Of the names that reasoning goes by, those that the template reads. */
  get reasoningFields(): readonly string[] {
    return REASONING.filter((name) => new RegExp(`(\\.\\s*|['"])${name}(?![\\w-])`).test(this.#source));
  }

  #once(what: string, find: () => boolean): boolean {
    const known = this.#known.get(what) ?? find();
    this.#known.set(what, known);
    return known;
  }

  #says(messages: readonly ChatMessage[], never?: RegExp): boolean {
    return [null, [TOOL]].some((tools) => {
      const text = this.#probe(messages, tools);
      return text?.includes(FIRST) === true && text.includes(SECOND) && !never?.test(text);
    });
  }

  #render(messages: readonly ChatMessage[]): string | null {
    return this.#probe(messages, null) ?? this.#probe(messages, [TOOL]);
  }
}

const toolCall = (args: object | string) => ({
  id: "call12345",
  type: "function",
  function: { name: "f", arguments: args },
});

/** A chat in which a message of that role may stand. */
function around(role: string, fields: object): ChatMessage[] {
  const message = { role, ...fields };
  if (role === "user") return [message];
  if (role === "assistant") return conversation(message);
  if (role === "tool" || role === "function")
    return [
      { role: "user", content: "u" },
      { role: "assistant", content: "", tool_calls: [toolCall({ a: "b" })] },
      { ...message, tool_call_id: "call12345", name: "f" },
    ];
  return [message, { role: "user", content: "u" }];
}

const conversation = (message: ChatMessage): ChatMessage[] => [{ role: "user", content: "u" }, message];

const count = (text: string, word: string) => text.split(word).length - 1;
