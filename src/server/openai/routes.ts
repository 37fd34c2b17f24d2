import type { Context } from "hono";
import type { z } from "zod";
import { RequestError } from "../../core/errors.ts";
import { given } from "../../core/given.ts";
import type { Finished } from "../../core/request.ts";
import type { RowBatch } from "../../core/rows.ts";
import type { ChatMessage } from "../../run/prompts/message.ts";
import type { Prompt } from "../../run/prompts/prompt-object.ts";
import { json as told } from "../host/declaration.ts";
import { EventStream } from "../host/event-stream.ts";
import { describe } from "../host/problem.ts";
import { json } from "../host/respond.ts";
import { type Route, route } from "../host/route.ts";
import { ServerError } from "../host/server-error.ts";
import { lengthsOf } from "../jobs/encode.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { LoadedModel, Models } from "../jobs/models.ts";
import { assertNoImages } from "../jobs/no-images.ts";
import {
  type ChatRequest,
  type CompletionRequest,
  chatCompletion,
  chatRequest,
  completion,
  completionRequest,
  openaiError,
  openaiModels,
  type TokenUsage,
} from "./schemas.ts";
import { TextStream } from "./text-stream.ts";

const tag = "openai";

/** OpenAI's default for completions; a chat goes on to the end of the context. */
const COMPLETION_TOKENS = 16;

export interface OpenAIParts {
  readonly jobs: Jobs;
  readonly models: Models;
}

/** The part of OpenAI's API that makes text, on the models here: every request is recorded. */
export function openaiRoutes({ jobs, models }: OpenAIParts): Route[] {
  const created = Math.floor(Date.now() / 1000);
  const answered = (what: string, schema: typeof chatCompletion | typeof completion) =>
    told(`${what}, or with stream: true its pieces as server-sent events`, () => schema as z.ZodType);
  return [
    route(
      {
        method: "get",
        path: "/v1/models",
        tag,
        problem: openaiError,
        summary: "The models, as OpenAI lists them",
        answer: told("the models", () => openaiModels),
      },
      () =>
        json({
          object: "list",
          data: models.list().map(({ id }) => ({ id, object: "model", created, owned_by: "moescope" })),
        }),
    ),
    route(
      {
        method: "post",
        path: "/v1/chat/completions",
        tag,
        problem: openaiError,
        summary: "Answer a chat",
        body: chatRequest,
        answer: answered("the answer", chatCompletion),
      },
      ({ body, c }) => {
        const limit = body.max_completion_tokens ?? body.max_tokens ?? null;
        return complete(
          c,
          jobs,
          models.any(body.model ?? undefined, "generate"),
          body,
          [chatOf(body)],
          limit,
          CHAT,
        );
      },
    ),
    route(
      {
        method: "post",
        path: "/v1/completions",
        tag,
        problem: openaiError,
        summary: "Continue a text, or several",
        body: completionRequest,
        answer: answered("the continuations", completion),
      },
      ({ body, c }) => {
        const model = models.any(body.model ?? undefined, "generate");
        const limit = body.max_tokens ?? COMPLETION_TOKENS;
        return complete(c, jobs, model, body, promptsOf(body), limit, COMPLETION);
      },
    ),
  ];
}

/** How the two kinds of answers differ. */
interface Shape {
  readonly kind: "chat.completion" | "text_completion";
  readonly prefix: string;
  readonly chunk: string;
  choice(index: number, text: string): object;
  delta(index: number, text: string): object;
  /** Sent before any text. */
  first(index: number): object | null;
  last(index: number): object;
}

const CHAT: Shape = {
  kind: "chat.completion",
  prefix: "chatcmpl",
  chunk: "chat.completion.chunk",
  choice: (index, content) => ({
    index,
    message: { role: "assistant", content, refusal: null },
    logprobs: null,
  }),
  delta: (index, content) => ({ index, delta: { content }, logprobs: null }),
  first: (index) => ({ index, delta: { role: "assistant", content: "" }, logprobs: null }),
  last: (index) => ({ index, delta: {}, logprobs: null }),
};

const COMPLETION: Shape = {
  kind: "text_completion",
  prefix: "cmpl",
  chunk: "text_completion",
  choice: (index, text) => ({ index, text, logprobs: null }),
  delta: (index, text) => ({ index, text, logprobs: null }),
  first: () => null,
  last: (index) => ({ index, text: "", logprobs: null }),
};

async function complete(
  c: Context,
  jobs: Jobs,
  model: LoadedModel,
  body: ChatRequest | CompletionRequest,
  prompts: readonly Prompt[],
  limit: number | null,
  shape: Shape,
): Promise<Response> {
  const { llm } = model;
  if (llm.task !== "generate")
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${model.id} makes embeddings (POST /v1/embeddings) and does not generate`,
    );
  const encoded = await model.encoder.encode(prompts, c.req.raw.signal);
  const { longest, total: promptTokens } = lengthsOf(encoded);
  const stops = typeof body.stop === "string" ? [body.stop] : (body.stop ?? []);
  // What fits: a client that names no limit, or one for a larger model, gets what there is room for.
  const room = llm.contextSize - longest;
  if (room < 1)
    throw new RequestError(
      "CONTEXT_OVERFLOW",
      `the prompt has ${longest} tokens; this model's context is ${llm.contextSize}, with one to generate`,
    );
  const options = {
    maxTokens: Math.min(limit ?? room, room),
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? 1,
    // A negative seed is one all the same: the sampler's are 32 bits.
    seed: (body.seed ?? Math.floor(Math.random() * 2 ** 32)) >>> 0,
    stop: stops,
    edits: body.edits ?? undefined,
  };
  const usageOf = (finished: readonly Finished[]): TokenUsage => {
    const completionTokens = finished.reduce((sum, { tokens }) => sum + tokens.length, 0);
    return {
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
    };
  };
  const work = { kind: shape.kind, model, prompts: encoded, options: given(options) };
  const head = (id: string) => ({
    id: `${shape.prefix}-${id}`,
    created: Math.floor(Date.now() / 1000),
    model: model.id,
  });

  if (body.stream !== true) {
    const { job, finished } = jobs.start(work);
    c.req.raw.signal.addEventListener("abort", () => job.cancel(), { once: true });
    const ended = await finished;
    return json({
      ...head(job.id),
      object: shape.kind,
      choices: ended.map(({ sample, text, reason }) => ({
        ...shape.choice(sample, text),
        finish_reason: finishReason(reason),
      })),
      usage: usageOf(ended),
    });
  }

  const stream = new EventStream(c);
  const texts = encoded.map(() => new TextStream(stops, (tokens) => llm.detokenize(tokens)));
  const withUsage = body.stream_options?.include_usage === true;
  let chunkHead: object;
  const send = (choices: object[], usage: TokenUsage | null = null) =>
    stream.send({ ...chunkHead, object: shape.chunk, choices, ...(withUsage && { usage }) });
  const { job, finished } = jobs.start({
    ...work,
    onRows: async (batch) => {
      for (const sample of samplesOf(batch)) {
        const fresh = await texts[sample]!.add(batch, sample);
        if (fresh !== "") await send([{ ...shape.delta(sample, fresh), finish_reason: null }]);
      }
    },
  });
  chunkHead = head(job.id);
  stream.signal.addEventListener("abort", () => job.cancel(), { once: true });
  const relay = async () => {
    for (const index of texts.keys()) {
      const first = shape.first(index);
      if (first) await send([{ ...first, finish_reason: null }]);
    }
    const ended = await finished;
    for (const { sample, text, reason } of ended) {
      const rest = texts[sample]!.end(text);
      if (rest !== "") await send([{ ...shape.delta(sample, rest), finish_reason: null }]);
      await send([{ ...shape.last(sample), finish_reason: finishReason(reason) }]);
    }
    if (withUsage) await send([], usageOf(ended));
    await stream.send("[DONE]");
  };
  relay()
    .catch((error) => stream.send(openaiProblem(error).body))
    .finally(() => stream.end());
  return stream.response;
}

/** Those that rows of a batch are of: few of many where a request has thousands. */
const samplesOf = ({ sample }: RowBatch): ReadonlySet<number> => new Set(sample);

const finishReason = (reason: Finished["reason"]) => (reason === "length" ? "length" : "stop");

export function promptsOf({
  prompt,
  add_special_tokens,
}: Pick<CompletionRequest, "prompt" | "add_special_tokens">): Prompt[] {
  const text = (each: string): Prompt => ({ prompt: each, addSpecial: add_special_tokens ?? null });
  if (typeof prompt === "string") return [text(prompt)];
  if (typeof prompt[0] === "number") return [prompt as number[]];
  return (prompt as (string | number[])[]).map((each) => (typeof each === "string" ? text(each) : each));
}

/** A request's chat with all that its template may read. */
function chatOf(body: ChatRequest): Prompt {
  const { reasoning_effort: effort, chat_template_kwargs: variables } = body;
  const messages = body.messages as ChatMessage[];
  assertNoImages(messages);
  return {
    messages,
    tools: body.tools ?? null,
    documents: body.documents ?? null,
    // As vLLM: who asks for an effort wants the model to think, unless it is none.
    chatTemplateKwargs: {
      ...(effort != null && { reasoning_effort: effort, enable_thinking: effort !== "none" }),
      ...variables,
    },
    addGenerationPrompt: body.add_generation_prompt ?? null,
    continueFinalMessage: body.continue_final_message ?? null,
    addSpecial: body.add_special_tokens ?? null,
  };
}

/** A failure as OpenAI's clients read it. */
export function openaiProblem(error: unknown): {
  readonly status: number;
  readonly body: object;
  /** Their bodies have no place for it; their clients go by this header where it is there. */
  readonly headers: Readonly<Record<string, string>>;
} {
  const { code, message, status, retryable } = describe(error);
  const type =
    status === 401 ? "authentication_error" : status < 500 ? "invalid_request_error" : "server_error";
  const known = code === "CONTEXT_OVERFLOW" ? "context_length_exceeded" : code.toLowerCase();
  const param = error instanceof ServerError ? error.param : null;
  return {
    status,
    body: { error: { message, type, param, code: known } },
    headers: { "x-should-retry": String(retryable) },
  };
}
