import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readPrompts } from "../../src/cli/options/prompt-files.ts";
import { packageRoot } from "../../src/core/package-root.ts";
import type { LanguageModel } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import type { ChatMessage } from "../../src/run/prompts/message.ts";

const read = (name: string) => JSON.parse(readFileSync(join(import.meta.dirname, name), "utf8"));

interface Shape {
  readonly name: string;
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly object[] | "tools";
  readonly documents?: readonly object[];
  readonly kwargs?: Record<string, unknown>;
  readonly add_generation_prompt?: boolean;
  readonly continue_final_message?: boolean;
}

/** By transformers' tokenizer and template on the same model: `demo_reference.py`. */
const expected = read("demo-chats.json") as Record<string, number[] | null>;
const { shapes, tools } = read("../jinja/shapes.json") as {
  shapes: readonly Shape[];
  tools: readonly object[];
};
const toolsOf = ({ tools: given }: Shape) => (given === "tools" ? tools : given);

const folder = mkdtempSync(join(tmpdir(), "moescope-chats-"));
let llm: LanguageModel;
beforeAll(async () => {
  llm = await load(join(packageRoot, "models", "demo", "demo-moe.gguf"), { threads: 1 });
});
afterAll(async () => {
  await llm.close();
  rmSync(folder, { recursive: true });
});

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => null,
    (error) => error,
  );

describe("the demo model's tokens of a chat are those that transformers gives it", () => {
  test.each(shapes.map((shape) => [shape.name, shape] as const))("%s", async (name, shape) => {
    const chat = {
      messages: shape.messages,
      tools: toolsOf(shape),
      documents: shape.documents,
      chatTemplateKwargs: shape.kwargs,
      addGenerationPrompt: shape.add_generation_prompt,
      continueFinalMessage: shape.continue_final_message,
    };
    const given = Object.fromEntries(Object.entries(chat).filter(([, value]) => value !== undefined));
    // The same from a file, by the names that Python gives the fields.
    const path = join(folder, `${name}.jsonl`);
    const snake = Object.entries(given).map(([key, value]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value,
    ]);
    writeFileSync(path, JSON.stringify(Object.fromEntries(snake)));
    const doors = [
      async () => llm.encode(given as never),
      async () => llm.encode((await readPrompts(path, (async function* () {})()))[0]!),
    ];
    for (const door of doors)
      if (expected[name] === null) expect(await failure(door())).toMatchObject({ code: "INVALID_ARGUMENT" });
      else expect([...(await door())]).toEqual(expected[name]);
  });

  test("the shapes tell mistakes apart", () => {
    expect(Object.keys(expected)).toEqual(shapes.map(({ name }) => name));
    expect(Object.values(expected).filter((ids) => ids === null)).toHaveLength(1);
    expect(new Set(Object.values(expected).map(String)).size).toBeGreaterThan(25);
  });
});

describe("one text in several forms", () => {
  test("parts are the text that they are", async () => {
    const parts = [
      { type: "text", text: "What is " },
      { type: "text", text: "this?" },
    ];
    const tokens = await llm.encode([{ role: "user", content: "What is this?" }]);
    expect(await llm.encode([{ role: "user", content: parts }])).toEqual(tokens);
    expect(tokens.length).toBeLessThan(15);
  });

  test("a rendered chat, with addSpecial: false, is the chat", async () => {
    const tokens = await llm.encode([{ role: "user", content: "Hi" }]);
    const prompt = "<s>User: Hi\nAssistant:";
    expect(await llm.encode({ prompt, addSpecial: false })).toEqual(tokens);
    expect((await llm.encode({ messages: [{ role: "user", content: "Hi" }], addSpecial: true })).length).toBe(
      tokens.length + 1,
    );
  });
});
