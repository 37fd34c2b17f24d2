import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Chat, renderChat } from "../../src/run/prompts/chat-template.ts";
import type { ChatMessage } from "../../src/run/prompts/message.ts";

const CHAT: Chat = {
  messages: [],
  tools: null,
  documents: null,
  variables: {},
  addGenerationPrompt: false,
  continueFinalMessage: null,
};

function render(
  template: string | null,
  messages: readonly ChatMessage[],
  chat: Partial<Chat> = {},
  named = {},
): string {
  return renderChat(
    { model: "m", template, named, specialTokens: { bos: "<s>", eos: "" } },
    { ...CHAT, messages, ...chat },
    "prompt 3",
  );
}

const refusal = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    return error as Error & { code: string };
  }
  throw new Error("it was taken");
};

const user = (content: ChatMessage["content"]): ChatMessage => ({ role: "user", content: content! });
const parts = (...texts: string[]) => texts.map((text) => ({ type: "text", text }));

/** Takes text; of a list it writes Python's form. */
const TEXT = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}";
/** Takes parts and text. */
const BOTH =
  "{% for m in messages %}{{ m.role }}:{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}" +
  "{% if p.type == 'text' %}{{ p.text }}{% elif p.type == 'image' %}<img>{% endif %}|{% endfor %}{% endif %};{% endfor %}";
/** Takes parts alone. */
const PARTS =
  "{% for m in messages %}{{ m.role }}:{% for p in m.content %}{{ p.text }}{% endfor %};{% endfor %}";
/** Parts from the user, text from everybody else. */
const MIXED =
  "{% for m in messages %}{% if m.role == 'user' %}{% for p in m.content %}{{ p.text }}{% endfor %}{% else %}{{ m.content + '!' }}{% endif %}{% endfor %}";
/** Of parts it takes the first. */
const FIRST =
  "{% for m in messages %}{{ m.content if m.content is string else m.content[0].text }}{% endfor %}";

describe("content", () => {
  test("parts are joined where the template takes text alone, and passed on where it reads them", () => {
    const messages = [user(parts("a", "b"))];
    expect(render(TEXT, messages)).toBe("user:ab;");
    expect(render(BOTH, messages)).toBe("user:a|b|;");
    expect(render(PARTS, messages)).toBe("user:ab;");
    expect(render(FIRST, messages)).toBe("ab");
    expect(render(TEXT, [user(["a", { type: "input_text", text: "b" }])])).toBe("user:ab;");
    expect(render(BOTH, [user(["a", { type: "refusal", refusal: "no" }])])).toBe("user:a|no|;");
  });

  test("role by role", () => {
    const messages: ChatMessage[] = [
      { role: "system", content: parts("s", "t") },
      user(parts("a", "b")),
      { role: "assistant", content: "c" },
    ];
    expect(render(MIXED, messages)).toBe("st!abc!");
  });

  test("text becomes a part where the template reads nothing else", () => {
    expect(render(PARTS, [user("hello")])).toBe("user:hello;");
    expect(render(TEXT, [user("hello")])).toBe("user:hello;");
    expect(render(MIXED, [user("hello")])).toBe("hello");
  });

  test("images have their place in templates that know them, and are refused by the others", () => {
    const image = { type: "image_url", image_url: { url: "data:image/png;base64,AA" } };
    expect(render(BOTH, [user([image, ...parts("a")])])).toBe("user:<img>|a|;");
    const error = refusal(() => render(TEXT, [user([image])]));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(error.message).toMatch(/prompt 3: messages\.0: .*image_url.*multiModalData/);
    expect(refusal(() => render(TEXT, [user([{ type: "thinking", thinking: "x" }])])).message).toContain(
      "thinking",
    );
  });

  test("no content is nothing, as the template can take it", () => {
    const call: ChatMessage = {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: {} } }],
    };
    const { content: _, ...without } = call;
    // It would write None.
    expect(render(TEXT, [call])).toBe("assistant:;");
    // It adds texts.
    expect(render("{% for m in messages %}{{ m.content + '.' }}{% endfor %}", [call, without])).toBe("..");
    // It reads content where nothing is called.
    const either = "{% for m in messages %}{{ 'call' if m.tool_calls else m.content }};{% endfor %}";
    expect(render(either, [call, { role: "assistant", content: null }, user(null)])).toBe("call;;;");
    // It asks.
    const asks =
      "{% for m in messages %}{{ '-' if m.content is none else '?' if m.content is not defined else m.content }}{% endfor %}";
    expect(render(asks, [call, without])).toBe("-?");
  });
});

describe("tools", () => {
  const call = (args: unknown): ChatMessage => ({
    role: "assistant",
    content: "",
    tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: args } }],
  });
  const each = (expression: string) =>
    `{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}${expression}{% endfor %}{% endfor %}`;
  const JSON_OF = each("{{ c.function.arguments|tojson }}");
  const RAW = each("{{ '```' + c.function.arguments }}");
  const ITEMS = each("{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }}{% endfor %}");
  const EITHER = each(
    "{{ c.function.arguments if c.function.arguments is string else c.function.arguments|tojson }}",
  );

  test("arguments are an object or JSON text, as the template takes them", () => {
    const text = '{"a":1,"b":2.0}';
    expect(render(JSON_OF, [call(text)])).toBe('{"a": 1, "b": 2.0}');
    expect(render(ITEMS, [call(text)])).toBe("a=1b=2.0");
    expect(render(RAW, [call({ a: "ü" })])).toBe('```{"a": "ü"}');
    // As it came, where both would do.
    expect(render(EITHER, [call(text), call({ a: 1 })])).toBe(`${text}{"a": 1}`);
    expect(render(JSON_OF, [call("")])).toBe("{}");
    expect(render(JSON_OF, [call("no JSON")])).toBe('"no JSON"');
  });

  test("no calls are none", () => {
    const asks = "{% for m in messages %}{{ m.tool_calls is defined }}{% endfor %}";
    expect(render(asks, [{ ...call({}), tool_calls: [] }, { ...call({}), tool_calls: null }, call({})])).toBe(
      "FalseFalseTrue",
    );
  });

  test("tools, documents and variables reach the template; the one for tools is taken for them", () => {
    const template =
      "{{ tools|tojson }}{{ documents|tojson }}{{ enable_thinking }}{{ add_generation_prompt }}{{ bos_token }}{{ eos_token is defined }}";
    const tools = [{ type: "function", function: { name: "f" } }];
    expect(render(template, [user("x")])).toBe("nullnullFalse<s>False");
    expect(
      render(template, [user("x")], {
        tools,
        documents: [{ title: "t" }],
        variables: { enable_thinking: false },
        addGenerationPrompt: true,
      }),
    ).toBe('[{"type": "function", "function": {"name": "f"}}][{"title": "t"}]FalseTrue<s>False');
    expect(render("plain", [user("x")], { tools }, { tool_use: "for tools" })).toBe("for tools");
    expect(render("plain", [user("x")], {}, { tool_use: "for tools" })).toBe("plain");
    expect(render(null, [user("x")], {}, { default: "default" })).toBe("default");
  });
});

describe("roles and fields", () => {
  const STRICT =
    "{% for m in messages %}{% if m.role == 'system' %}S{{ m.content }}{% elif m.role == 'user' %}U{{ m.content }}{% endif %}{% endfor %}";

  test("a developer is the system to templates that know none", () => {
    const messages = [{ role: "developer", content: "d" }, user("u")];
    expect(render(STRICT, messages)).toBe("SdUu");
    expect(render(TEXT, messages)).toBe("developer:d;user:u;");
  });

  test("fields that nobody names here reach the template", () => {
    const template = "{% for m in messages %}{{ m.name }}{{ m.mood }}{{ m.weight + 1 }}{% endfor %}";
    expect(render(template, [{ ...user("x"), name: "Ann", mood: "glad", weight: 2 }])).toBe("Annglad3");
  });

  test("reasoning has the name that the template reads", () => {
    const reads = (name: string) => `{% for m in messages %}{{ m.${name} }}{% endfor %}`;
    const message = (field: object): ChatMessage => ({ role: "assistant", content: "c", ...field });
    expect(render(reads("reasoning_content"), [message({ reasoning: "r" })])).toBe("r");
    expect(render(reads("reasoning"), [message({ reasoning_content: "r" })])).toBe("r");
    expect(render(reads("thinking"), [message({ reasoning_content: "r" })])).toBe("r");
    expect(render(reads("thinking"), [message({ reasoning_content: "r", thinking: "t" })])).toBe("t");
    expect(render("{% for m in messages %}{{ m|tojson }}{% endfor %}", [message({ reasoning: "r" })])).toBe(
      '{"role": "assistant", "content": "c", "reasoning": "r"}',
    );
  });
});

describe("going on with the last message, as in transformers", () => {
  const known = JSON.parse(readFileSync(join(import.meta.dirname, "../jinja/renderings.json"), "utf8"));
  const { shapes } = JSON.parse(readFileSync(join(import.meta.dirname, "../jinja/shapes.json"), "utf8"));
  const folder = join(import.meta.dirname, "../jinja/templates");
  // Some write the date: that of reference.py.
  beforeAll(() => {
    vi.useFakeTimers({ now: new Date(2026, 2, 7, 9, 5, 2) });
  });
  afterAll(() => {
    vi.useRealTimers();
  });

  test.each(readdirSync(folder).filter((name) => name.endsWith(".jinja")))("%s", (name) => {
    const template = readFileSync(join(folder, name), "utf8");
    const { texts } = known[createHash("sha256").update(template).digest("hex").slice(0, 16)];
    for (const [i, shape] of shapes.entries()) {
      if (!shape.continue_final_message) continue;
      const chat = { ...CHAT, messages: shape.messages, continueFinalMessage: "content" };
      const specialTokens = { bos: "<s>", eos: "</s>", unk: "<unk>", pad: "<pad>" };
      const text = renderChat({ model: "m", template, specialTokens }, chat, "x");
      expect(createHash("sha256").update(text).digest("hex").slice(0, 12), text).toBe(texts[i]);
    }
  });

  const last = (fields: object): ChatMessage[] => [user("u"), { role: "assistant", ...fields }];
  const goOn = (template: string, fields: object, field = "content") =>
    render(template, last(fields), { continueFinalMessage: field });

  test("text, the last text of parts, or another field", () => {
    expect(goOn(TEXT, { content: "so " })).toBe("user:u;assistant:so ");
    expect(goOn(BOTH, { content: parts("a", "b") })).toBe("user:u;assistant:a|b");
    expect(goOn("{% for m in messages %}{{ m.content|trim }}.{% endfor %}", { content: "so  " })).toBe(
      "u.so",
    );
    const thinks = "{% for m in messages %}{{ m.content }}{{ m.thinking }}!{% endfor %}";
    expect(goOn(thinks, { content: "", thinking: "hm" }, "thinking")).toBe("u!hm");
  });

  test.each([
    ["nothing to go on with", TEXT, {}, "content", "has no content"],
    ["a field the template does not read", TEXT, { content: "c", plan: "p" }, "plan", "does not read plan"],
    ["a message that is left out", "content", { content: "c" }, "content", "does not write the last message"],
    ["parts without text", PARTS, { content: [] }, "content", "no text to go on with"],
  ])("%s", (_, template, fields, field, words) => {
    const error = refusal(() => goOn(template, fields, field));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(error.message).toContain(words);
  });
});

describe("who is to blame", () => {
  test.each([
    [
      "the messages",
      "{{ raise_exception('roles must alternate') }}",
      "refuses the messages: roles must alternate (line 1",
    ],
    [
      "the messages, in any program",
      "\n{{ nobody.here }}",
      "cannot take these messages, in any program: 'nobody' is undefined (line 2",
    ],
    ["this program", "{{ messages|random }}", "moescope's Jinja does not have: the filter random (line 1"],
    ["the template", "{% for %}", "no valid Jinja"],
    ["Ollama", "{{ if .System }}<|system|>{{ .System }}{{ end }}{{ .Prompt }}", "one of Go"],
    ["Ollama", "{{- range .Messages }}{{ .Content }}{{- end }}", "one of Go"],
  ])("%s", (_, template, words) => {
    const error = refusal(() => render(template, [user("x")]));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(error.message).toContain("prompt 3: ");
    expect(error.message).toContain(words);
    if (!words.includes("messages")) expect(error.message).toContain("addSpecial: false");
  });

  test("no template", () => {
    expect(refusal(() => render(null, [user("x")])).message).toContain(
      "m has no chat template; pass text or token ids",
    );
    expect(refusal(() => render(null, [user("x")], {}, { rag: "r" })).message).toContain("only rag");
  });
});
