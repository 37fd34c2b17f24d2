import { afterEach, describe, expect, test, vi } from "vitest";
import type { Engine } from "../../src/core/engine.ts";
import type { EngineText } from "../../src/core/request.ts";
import { encodePrompts } from "../../src/run/prompts/prompt.ts";
import type { Prompt } from "../../src/run/prompts/prompt-object.ts";

/** A tokenizer of characters, which adds what it is told to. */
function engineThatAdds(before: string, after = ""): Engine {
  const ids = (text: string) => Int32Array.from(text, (character) => character.charCodeAt(0));
  return {
    model: { name: "m", vocabSize: 256 },
    chatTemplate: "^{% for m in messages %}{{ m.content }}{% endfor %}",
    specialTokens: { bos: "^", eos: "$" },
    tokenize: async (texts: readonly EngineText[]) =>
      texts.map(({ text, addSpecial }) => ids(addSpecial ? before + text + after : text)),
    tokenText: (id: number) => String.fromCharCode(id),
  } as unknown as Engine;
}

const warnings = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
afterEach(() => warnings.mockClear());

const textsOf = async (engine: Engine, prompts: readonly Prompt[]) => {
  const texts: string[] = [];
  for await (const { tokens } of encodePrompts(engine, prompts)) texts.push(String.fromCharCode(...tokens));
  return texts;
};
const textOf = async (engine: Engine, prompt: Prompt) => (await textsOf(engine, [prompt]))[0]!;

describe("special tokens that are there already", () => {
  test("a text that begins with BOS is warned of once, and says how not to", async () => {
    const engine = engineThatAdds("^");
    expect(await textsOf(engine, ["hello", "oops", "^hi"])).toEqual(["^hello", "^oops", "^^hi"]);
    await textOf(engine, "^again");
    expect(warnings).toHaveBeenCalledTimes(1);
    const [message, options] = warnings.mock.calls[0]!;
    expect(message).toContain('prompt 2 has "^" twice');
    for (const way of ["addSpecial: false", "--no-special-tokens", "add_special", "add_special_tokens"])
      expect(message).toContain(way);
    expect(options).toMatchObject({ type: "MoescopeWarning", code: "DOUBLE_SPECIAL_TOKENS" });
    // Another model has its own.
    await textOf(engineThatAdds("^"), "^hi");
    expect(warnings).toHaveBeenCalledTimes(2);
  });

  test.each([
    ["EOS", engineThatAdds("", "$"), "hi$", '"$"'],
    ["CLS and SEP", engineThatAdds("[", "]"), "[hi]", '"[" and "]"'],
    ["nothing but BOS", engineThatAdds("^"), "^", '"^"'],
    ["SEP alone of both", engineThatAdds("[", "]"), "hi]", '"]"'],
  ])("%s", async (_, engine, text, named) => {
    await textOf(engine, text);
    expect(warnings.mock.calls.map(([message]) => message)).toEqual([expect.stringContaining(named)]);
  });

  test.each<[string, Engine, Prompt, string]>([
    ["a plain text", engineThatAdds("^", "$"), "hi", "^hi$"],
    ["letters that are doubled themselves", engineThatAdds("^"), "oohii", "^oohii"],
    ["a tokenizer that adds nothing", engineThatAdds(""), "^^hi", "^^hi"],
    ["a text that says so", engineThatAdds("^"), { prompt: "^hi", addSpecial: false }, "^hi"],
    ["a chat", engineThatAdds("^"), [{ role: "user", content: "hi" }], "^hi"],
  ])("%s is not warned of", async (_, engine, prompt, text) => {
    expect(await textOf(engine, prompt)).toBe(text);
    expect(warnings).not.toHaveBeenCalled();
  });

  test("a chat may ask for them", async () => {
    const chat = { messages: [{ role: "user", content: "hi" }], addSpecial: true };
    expect(await textOf(engineThatAdds("^"), chat)).toBe("^^hi");
    expect(warnings).toHaveBeenCalledTimes(1);
  });
});

describe("an image in a chat", () => {
  const withImages = (engine: Engine) => {
    const seen: string[] = [];
    const encode: Engine["encode"] = async ({ prompt }) => {
      seen.push(prompt);
      const [tokens] = await engine.tokenize([{ text: prompt, addSpecial: true, parseSpecial: true }]);
      return { tokens: tokens!, media: [] };
    };
    const chatTemplate =
      "^{% for m in messages %}{% for p in m.content %}{{ '#' if p.type == 'image' else p.text }}{% endfor %}{% endfor %}";
    return { engine: { ...engine, chatTemplate, encode } as Engine, seen };
  };
  const chat: Prompt = [
    {
      role: "user",
      content: [
        { type: "image_url", image_url: { url: "a.png" } },
        { type: "text", text: "hi" },
      ],
    },
  ];

  test("has one BOS, though the engine adds its own", async () => {
    const { engine, seen } = withImages(engineThatAdds("^"));
    expect(await textOf(engine, chat)).toBe("^#hi");
    expect(seen).toEqual(["#hi"]);
  });

  test("keeps the template's where the engine adds none", async () => {
    expect(await textOf(withImages(engineThatAdds("")).engine, chat)).toBe("^#hi");
  });
});

test("half a character is no text", async () => {
  await expect(textOf(engineThatAdds(""), "a\ud800b")).rejects.toThrow(
    "half a character (U+D800 alone) at 1",
  );
  await expect(textOf(engineThatAdds(""), "a😀")).rejects.toThrow("token id");
});
