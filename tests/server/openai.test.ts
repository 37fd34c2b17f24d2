import { join } from "node:path";
import OpenAI, { BadRequestError } from "openai";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import type { JobList } from "../../src/server/jobs/schemas.ts";
import type { CaptureList } from "../../src/server/questions/captures.ts";
import { FakeEngine } from "../cli/fake-engine.ts";
import { type Serving, serving, until } from "./serving.ts";

const clientOf = ({ url }: Serving, apiKey = "none") =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });

/** OpenAI's own client, on the demo model. */
describe("an app that speaks OpenAI's API", () => {
  let llm: LanguageModel;
  beforeAll(async () => {
    llm = await load(join(packageRoot, "models", "demo", "demo-moe.gguf"), { threads: 1 });
  });
  afterAll(() => llm.close());

  const demo = async () => {
    const server = await serving({ models: new Map([["demo-moe", llm]]) });
    return { server, client: clientOf(server) };
  };
  const greedy = { model: "demo-moe", temperature: 0 } as const;
  const question = "What is 2 + 3?";

  it("lists the models", async () => {
    const { client } = await demo();
    expect((await client.models.list()).data.map(({ id, object }) => [id, object])).toEqual([
      ["demo-moe", "model"],
    ]);
  });

  it("completes texts as the library does, and is recorded", async () => {
    const { client, server } = await demo();
    const direct = await llm.capture([question, "def add(a, b):"], { maxTokens: 6 });
    const { choices, usage, object } = await client.completions.create({
      ...greedy,
      prompt: [question, "def add(a, b):"],
      max_tokens: 6,
    });
    expect(object).toBe("text_completion");
    expect(choices.map(({ index, text, finish_reason }) => [index, text, finish_reason])).toEqual(
      direct.outputs.map(({ sample, text }) => [sample, text, "length"]),
    );
    const prompt = direct.samples.reduce((sum, { promptTokens }) => sum + promptTokens, 0);
    expect(usage).toEqual({ prompt_tokens: prompt, completion_tokens: 12, total_tokens: prompt + 12 });
    const { captures } = await server.json<CaptureList>("/api/captures");
    expect(captures).toMatchObject([{ origin: "recording", rows: direct.rows.length, complete: true }]);
    const rows = await server.json<{ tokenId: number[] }>(`/api/captures/${captures[0]!.id}/rows`);
    expect(rows.tokenId).toEqual([...direct.rows.tokenId]);
  });

  it("chats, streamed or not, with the same words", async () => {
    const { client } = await demo();
    const messages = [{ role: "user" as const, content: question }];
    const whole = await client.chat.completions.create({ ...greedy, messages, max_tokens: 10 });
    const text = whole.choices[0]!.message.content!;
    expect(text.length).toBeGreaterThan(5);
    const stream = await client.chat.completions.create({
      ...greedy,
      messages: [{ role: "user", content: [{ type: "text", text: question }] }],
      max_completion_tokens: 10,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe(text);
    // The role, the end and the usage have pieces of their own; how many tokens share one is a matter of speed.
    expect(chunks.length).toBeGreaterThanOrEqual(4);
    expect(chunks[0]!.choices[0]!.delta.role).toBe("assistant");
    expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe(whole.choices[0]!.finish_reason);
    expect(chunks.at(-1)!.usage).toEqual(whole.usage);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  });

  it("stops where it is told, without a piece of the stop string", async () => {
    const { client } = await demo();
    const free = await client.completions.create({ ...greedy, prompt: question, max_tokens: 10 });
    const text = free.choices[0]!.text;
    // A stop string that begins within one token and ends in another.
    const stop = text.slice(3, 8);
    const expected = text.slice(0, text.indexOf(stop));
    const whole = await client.completions.create({ ...greedy, prompt: question, max_tokens: 10, stop });
    expect(whole.choices[0]).toMatchObject({ text: expected, finish_reason: "stop" });
    const stream = await client.completions.create({
      ...greedy,
      prompt: question,
      max_tokens: 10,
      stop: ["never", stop],
      stream: true,
    });
    let streamed = "";
    for await (const { choices } of stream) streamed += choices[0]!.text;
    expect(streamed).toBe(expected);
  });

  it("draws by the seed", async () => {
    const { client } = await demo();
    const draw = async (seed: number) =>
      (
        await client.completions.create({
          model: "m",
          prompt: question,
          max_tokens: 8,
          temperature: 1.5,
          top_p: 0.99,
          seed,
        })
      ).choices[0]!.text;
    const [first, again, other, third] = [await draw(1), await draw(1), await draw(2), await draw(3)];
    expect(again).toBe(first);
    expect(new Set([first, other, third]).size).toBeGreaterThan(1);
  });

  it("hears of mistakes in OpenAI's words", async () => {
    const { client } = await demo();
    const error = async (body: object) =>
      (await client.completions.create({ ...greedy, prompt: "a", ...body } as never).then(
        () => null,
        (reason) => reason,
      )) as BadRequestError | null;
    for (const [body, param] of [
      [{ n: 2 }, "n"],
      [{ temperature: 9 }, "temperature"],
      [{ logprobs: 3 }, "logprobs"],
      [{ stop: [""] }, "stop.0"],
      [{ presence_penalty: 1 }, "presence_penalty"],
      [{ max_tokens: 0 }, "max_tokens"],
    ] as const) {
      const failure = await error(body);
      expect(failure).toBeInstanceOf(BadRequestError);
      expect([param, failure!.param, failure!.type]).toEqual([param, param, "invalid_request_error"]);
    }
    expect(await error({ prompt: "word ".repeat(3000) })).toMatchObject({
      code: "context_length_exceeded",
      status: 400,
    });
    expect(await error({ n: 1, presence_penalty: 0, logit_bias: {}, user: "me", logprobs: null })).toBeNull();
    await expect(
      clientOf(await serving({ models: new Map() })).completions.create({ ...greedy, prompt: "a" }),
    ).rejects.toMatchObject({ status: 404 });
  });

  it("frees the engine when it goes", async () => {
    const { client, server } = await demo();
    const stream = await client.completions.create({
      ...greedy,
      prompt: question,
      max_tokens: 900,
      stream: true,
    });
    for await (const _ of stream) break;
    stream.controller.abort();
    await until(async () => (await server.json<JobList>("/api/jobs")).jobs[0]!.state === "cancelled");
    const next = await client.completions.create({ ...greedy, prompt: question, max_tokens: 2 });
    expect(next.choices).toHaveLength(1);
    const { captures } = await server.json<CaptureList>("/api/captures");
    expect(captures.map(({ complete }) => complete).sort()).toEqual([false, true]);
  });
});

describe("a chat by the way of the API has the tokens that it has in the library", () => {
  /** Shows what it is given. */
  const TEMPLATE =
    "{% for m in messages %}<{{ m.role }}{{ m.name }}>{{ m.content }}{{ m.reasoning_content }}" +
    "{% for c in m.tool_calls %}{{ c.function.arguments|tojson }}{% endfor %}{% endfor %}" +
    "{% if tools %}{{ tools|length }} tools{% endif %}{% if documents %}{{ documents[0].title }}{% endif %}" +
    "{{ enable_thinking }}{{ reasoning_effort }}{% if add_generation_prompt %}>>{% endif %}";
  class Showing extends FakeEngine {
    override readonly chatTemplate = TEMPLATE;
  }
  const shown = async (body: object, path = "/v1/chat/completions") => {
    const llm = LanguageModel.of(new Showing());
    const server = await serving({ models: new Map([["fake", llm]]) });
    const response = await fetch(`${server.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "fake", max_tokens: 1, ...body }),
    });
    if (!response.ok)
      return { error: ((await response.json()) as { error: { message: string } }).error.message };
    const { captures } = await server.json<CaptureList>("/api/captures");
    const rows = await server.json<{ text: string[] }>(`/api/captures/${captures[0]!.id}/rows`);
    return { text: rows.text.join("") };
  };
  const user = { role: "user", content: "u" };

  it.each<[string, object, string]>([
    ["text", { messages: [user] }, "<user>u>>"],
    [
      "parts",
      {
        messages: [
          {
            role: "user",
            content: [
              { type: "text", text: "a" },
              { type: "text", text: "b" },
            ],
          },
        ],
      },
      "<user>ab>>",
    ],
    ["names and unknown fields", { messages: [{ ...user, name: "Ann", x: 1 }] }, "<userAnn>u>>"],
    [
      "a call and its answer",
      {
        messages: [
          user,
          {
            role: "assistant",
            content: null,
            tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: '{"a":1}' } }],
          },
          { role: "tool", tool_call_id: "1", content: "42" },
        ],
        tools: [{ type: "function", function: { name: "f" } }],
        tool_choice: "auto",
      },
      '<user>u<assistant>{"a": 1}<tool>421 tools>>',
    ],
    [
      "reasoning",
      { messages: [user, { role: "assistant", content: "c", reasoning: "r" }, user] },
      "<user>u<assistant>cr<user>u>>",
    ],
    ["documents", { messages: [user], documents: [{ title: "T" }] }, "<user>uT>>"],
    ["variables", { messages: [user], chat_template_kwargs: { enable_thinking: false } }, "<user>uFalse>>"],
    ["an effort", { messages: [user], reasoning_effort: "high" }, "<user>uTruehigh>>"],
    ["no answer begun", { messages: [user], add_generation_prompt: false }, "<user>u"],
    [
      "the last message going on",
      { messages: [user, { role: "assistant", content: "so" }], continue_final_message: true },
      "<user>u<assistant>so",
    ],
    ["a role of nobody's", { messages: [{ role: "critic", content: "c" }] }, "<critic>c>>"],
  ])("%s", async (_, body, text) => {
    expect(await shown(body)).toEqual({ text });
  });

  it.each<[string, object, string]>([
    [
      "images",
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "/etc/passwd" } }] }] },
      "images do not go in here",
    ],
    ["another template", { messages: [user], chat_template: "x" }, "chat_template"],
    ["a variable beside the messages", { messages: [user], enable_thinking: false }, "chat_template_kwargs"],
    ["a call that must be", { messages: [user], tools: [{}], tool_choice: "required" }, "tool_choice"],
    ["a message without content", { messages: [{ role: "user" }] }, "messages.0.content"],
    [
      "two ends",
      { messages: [user], add_generation_prompt: true, continue_final_message: true },
      "give one of them",
    ],
  ])("%s: refused", async (_, body, words) => {
    expect((await shown(body)).error).toContain(words);
  });

  it("the server's own API takes the same", async () => {
    const prompt = { messages: [user], tools: [{}], chatTemplateKwargs: { enable_thinking: true } };
    const llm = LanguageModel.of(new Showing());
    const server = await serving({ models: new Map([["fake", llm]]) });
    const post = (body: object) =>
      fetch(`${server.url}/api/captures`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    const image = { role: "user", content: [{ type: "image_url", image_url: { url: "http://localhost/" } }] };
    expect((await post({ prompts: [{ messages: [image] }] })).status).toBe(400);
    expect((await post({ prompts: [prompt] })).status).toBe(202);
    await until(async () =>
      (await server.json<JobList>("/api/jobs")).jobs.every(({ state }) => state === "done"),
    );
    const { captures } = await server.json<CaptureList>("/api/captures");
    const rows = await server.json<{ text: string[] }>(`/api/captures/${captures[0]!.id}/rows`);
    expect(rows.text.join("")).toBe("<user>u1 toolsTrue>>");
  });
});

it("texts that have their special tokens go in as they are", async () => {
  const llm = await load(join(packageRoot, "models", "demo", "demo-moe.gguf"), { threads: 1 });
  const warnings = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  try {
    const { client } = await (async () => {
      const server = await serving({ models: new Map([["m", llm]]) });
      return { client: clientOf(server) };
    })();
    const tokens = async (further: object) =>
      (await client.completions.create({ model: "m", prompt: "<s>User: Hi", max_tokens: 1, ...further }))
        .usage!.prompt_tokens;
    expect(await tokens({ add_special_tokens: false })).toBe((await tokens({})) - 1);
    expect(warnings).toHaveBeenCalledTimes(1);
  } finally {
    vi.restoreAllMocks();
    await llm.close();
  }
});

it("an API key is the token", async () => {
  const server = await serving({ token: "t0ken" });
  expect((await clientOf(server, "t0ken").models.list()).data).toHaveLength(1);
  await expect(clientOf(server, "wrong").models.list()).rejects.toMatchObject({ status: 401 });
});
