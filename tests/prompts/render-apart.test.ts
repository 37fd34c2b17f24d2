import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it, vi } from "vitest";
import type { Chat } from "../../src/run/prompts/chat-template.ts";
import { renderApart } from "../../src/run/prompts/render-apart.ts";

const hosts = vi.hoisted(() => ({ children: [] as ChildProcess[] }));
vi.mock("node:child_process", async (original) => {
  const module = await original<typeof import("node:child_process")>();
  const fork = (...args: Parameters<typeof module.fork>) => {
    const child = module.fork(...args);
    hosts.children.push(child);
    return child;
  };
  return { ...module, fork };
});

const chat: Chat = {
  messages: [{ role: "user", content: "Hello" }],
  tools: null,
  documents: null,
  variables: {},
  addGenerationPrompt: true,
  continueFinalMessage: null,
};
const render = (template: string, given: Partial<Chat> = {}) =>
  renderApart({ model: "m", template, specialTokens: {} }, { ...chat, ...given }, "the prompt");

describe("a chat that is expected", () => {
  /** As in a program that has rendered nothing yet. */
  async function fresh() {
    vi.resetModules();
    hosts.children.length = 0;
    return import("../../src/run/prompts/render-apart.ts");
  }
  const templates = { model: "m", template: "{{ messages[0].content }}", specialTokens: {} };

  it("is rendered by the process that was started for it", async () => {
    const { expectChats, renderApart } = await fresh();
    expectChats();
    expectChats();
    expect(hosts.children).toHaveLength(1);
    expect(await renderApart(templates, chat, "the prompt")).toBe("Hello");
    // There is one: nothing to be ready for.
    expectChats();
    expect(hosts.children).toHaveLength(1);
  });

  it("is rendered by another one where that has ended", async () => {
    const { expectChats, renderApart } = await fresh();
    expectChats();
    const [child] = hosts.children;
    child!.kill("SIGKILL");
    await once(child!, "exit");
    expect(await renderApart(templates, chat, "the prompt")).toBe("Hello");
    expect(hosts.children).toHaveLength(2);
  });
});

describe("a chat is rendered in a process of its own", () => {
  it("with the same text, one after the other and side by side", async () => {
    const template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
    const chats = Array.from({ length: 20 }, (_, i) => ({
      messages: [{ role: "user", content: `Hello ${i}` }],
    }));
    const texts = await Promise.all(chats.map((each) => render(template, each)));
    expect(texts).toEqual(chats.map(({ messages }) => `<user>${messages[0]!.content}`));
  });

  it.each([
    [
      "loops in loops",
      "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}",
    ],
    ["a range of a billion", "{{ range(1000000000)|list }}"],
    ["a macro that calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"],
    [
      "a list that doubles",
      "{% set n = namespace(x=[1.5, 2.5]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    ],
    [
      "a text that doubles",
      "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x|upper }}",
    ],
    ["lists in lists", "{% set x = [1] * 60000000 %}{% set y = [x] * 60000000 %}{{ y }}"],
    ["a wide field", "{{ 'a'|center(400000000)|list|join('b') }}"],
    [
      "a dict that grows",
      "{% set n = namespace(d=dict()) %}{% for i in range(99999) %}{% for j in range(99999) %}{% set n.d = dict(n.d, **{i ~ '-' ~ j: 1}) %}{% endfor %}{% endfor %}",
    ],
  ])("%s: refused, and the next chat is rendered", async (_, attack) => {
    // Whatever it is that stops them.
    const template = `{% if messages[0].content == "Hello" %}${attack}{% else %}fine{% endif %}`;
    await expect(render(template)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("the chat template of m"),
    });
    expect(await render(template, { messages: [{ role: "user", content: "x" }] })).toBe("fine");
  });

  it("one that hangs does not hold up another model's", async () => {
    const hanging = render(
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{# the other #}",
    );
    let over = false;
    const refused = expect(hanging.finally(() => (over = true))).rejects.toMatchObject({
      message: expect.stringContaining("did not come to its end"),
    });
    expect(await render("{{ messages[0].content }}{# another #}")).toBe("Hello");
    expect(over).toBe(false);
    await refused;
  });

  it("says what is wrong with a chat as ever", async () => {
    await expect(render("{{ raise_exception('no system') }}")).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("refuses the messages: no system"),
    });
    await expect(render("x", { variables: { f: () => 1 } })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  });
});
