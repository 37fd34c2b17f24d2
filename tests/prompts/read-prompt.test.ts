import { describe, expect, test } from "vitest";
import { nearMiss } from "../../src/core/near-miss.ts";
import { readPromptObject } from "../../src/run/prompts/read-prompt.ts";

const refusal = (value: unknown, spelling: "library" | "file" = "library") => {
  try {
    readPromptObject(value, "x:3", spelling);
  } catch (error) {
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect((error as Error).message).toMatch(/^x:3: /);
    return (error as Error).message;
  }
  throw new Error("it was read");
};

const chat = { messages: [{ role: "user", content: "x" }] };

describe("fields that are known", () => {
  test("have Python's names in files, and the library's as well", () => {
    const snake = {
      ...chat,
      chat_template_kwargs: { a: 1 },
      add_generation_prompt: false,
      tools: [{}],
      label: null,
    };
    const camel = { ...chat, chatTemplateKwargs: { a: 1 }, addGenerationPrompt: false, tools: [{}] };
    expect(readPromptObject(snake, "x", "file")).toEqual(camel);
    expect(readPromptObject(camel, "x", "file")).toEqual(camel);
    expect(readPromptObject(camel, "x", "library")).toEqual(camel);
    expect(readPromptObject({ token_ids: [1], prompt: null }, "x", "file")).toEqual({ tokenIds: [1] });
    expect(readPromptObject({ prompt: "a", add_special: false }, "x", "file")).toEqual({
      prompt: "a",
      addSpecial: false,
    });
  });

  test.each<[string, unknown, string]>([
    ["no form", { label: "a" }, "needs one of prompt, tokenIds and messages"],
    ["two forms", { prompt: "a", tokenIds: [1] }, "needs only one of"],
    ["the same twice", { tokenIds: [1], token_ids: [1] }, "token_ids is there twice"],
    ["no object", ["a"], "expected object"],
    ["a prompt of messages", { prompt: [{ role: "user", content: "x" }] }, "messages go under messages"],
    ["a label of numbers", { prompt: "a", label: 3 }, "expected string, received number; write it in quotes"],
    ["ids that are none", { tokenIds: [1, 2.5] }, "tokenIds.1: 2.5 is no token id"],
    ["ids that are texts", { tokenIds: ["1"] }, "tokenIds.0: a string is no token id"],
    ["tools with text", { prompt: "a", tools: [{}] }, "tools goes with messages"],
    ["special tokens with ids", { tokenIds: [1], addSpecial: false }, "token ids are taken as they are"],
    ["images with messages", { ...chat, multiModalData: { image: "a" } }, 'a part {"type": "image_url"}'],
    ["images of another kind", { prompt: "a", multiModalData: { video: "a" } }, "takes image: a path"],
    [
      "a flag that is none",
      { ...chat, addGenerationPrompt: "no" },
      "expected true or false, received string",
    ],
    ["both ends", { ...chat, addGenerationPrompt: true, continueFinalMessage: true }, "give one of them"],
    [
      "a variable that is a field",
      { ...chat, chatTemplateKwargs: { tools: [] } },
      "tools is a field of the prompt",
    ],
    ["another template", { ...chat, chatTemplateKwargs: { chat_template: "x" } }, "the model's own template"],
    ["tools that are none", { ...chat, tools: ["f"] }, "expected list of objects"],
    ["no messages", { messages: [] }, "is empty"],
    ["a message of text", { messages: ["hi"] }, "messages.0 must be an object"],
    ["a message without role", { messages: [{ content: "x" }] }, "messages.0.role"],
    ["a message without content", { messages: [{ role: "user", text: "x" }] }, "rename text to content"],
    [
      "a message of ShareGPT",
      { messages: [{ from: "human", value: "x" }] },
      "rename them to role and content",
    ],
    [
      "content of numbers",
      { messages: [{ role: "user", content: 3 }] },
      "messages.0.content: it must be text",
    ],
    [
      "a part without type",
      { messages: [{ role: "user", content: [{ text: "x" }] }] },
      "content.0 must be a text or a part",
    ],
    ["a part without text", { messages: [{ role: "user", content: [{ type: "text" }] }] }, "content.0.text"],
    [
      "sound",
      { messages: [{ role: "user", content: [{ type: "input_audio" }] }] },
      "a part of type input_audio cannot go in",
    ],
  ])("%s", (_, value, words) => {
    const spelling = "token_ids" in (value as object) ? "file" : "library";
    expect(refusal(value, spelling)).toContain(words);
  });
});

describe("fields that are not", () => {
  test.each<[unknown, string]>([
    [{ text: "a" }, '"text": rename it to prompt'],
    [
      { instruction: "a", output: "b" },
      '"instruction": rename it to prompt; unknown field "output": remove it',
    ],
    [{ conversations: [] }, '"conversations" (ShareGPT): rename it to messages'],
    [{ from: "human", value: "x" }, '"from" (a message of ShareGPT): rename it to role'],
    [{ input_ids: [1] }, '"input_ids": rename it to token_ids'],
    [{ prompt: "a", category: "x" }, '"category": rename it to label'],
    [{ prompt: "a", labels: "x" }, '"labels": rename it to label'],
    [{ prompt: "a", label: "x", category: "y" }, '"category": remove it'],
    [
      { ...chat, enable_thinking: false },
      '"enable_thinking": put it into chat_template_kwargs, as {"enable_thinking": false}',
    ],
    [{ ...chat, add_special_tokens: false }, '"add_special_tokens": rename it to add_special'],
    [{ custom_id: "1", body: chat }, '"body": of a batch file take'],
    [{ prompt: "a", id: 7 }, '"id": remove it'],
    [{ prompt: "a", "\u0085": 7 }, '"\\u0085": remove it'],
  ])("of a file: %j", (value, words) => {
    const message = refusal(value, "file");
    expect(message).toContain(`unknown field ${words}`);
    expect(message).toContain("The fields of a prompt are prompt, token_ids, messages, label");
  });

  test.each<[unknown, string]>([
    [{ token_ids: [1] }, '"token_ids": rename it to tokenIds'],
    [{ prompt: "a", multi_modal_data: {} }, '"multi_modal_data": rename it to multiModalData'],
    [{ mesages: [] }, '"mesages": rename it to messages'],
    [{ prompt: "a", Label: "x" }, '"Label": rename it to label'],
  ])("of the library: %j", (value, words) => {
    expect(refusal(value)).toContain(words);
  });
});

test("near misses", () => {
  const names = ["prompt", "tokenIds", "label"];
  expect(["Prompt", "promt", "token_ids", "lable", "prompts"].map((name) => nearMiss(name, names))).toEqual([
    "prompt",
    "prompt",
    "tokenIds",
    "label",
    "prompt",
  ]);
  expect(["id", "text", "answer", ""].map((name) => nearMiss(name, names))).toEqual([null, null, null, null]);
});
