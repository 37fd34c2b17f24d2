import { setMaxListeners } from "node:events";
import { readFile } from "node:fs/promises";
import { z } from "zod";
import type { Plan } from "../../capture/plan.ts";
import type { RowBatch } from "../../capture/rows.ts";
import { EngineError } from "../../errors.ts";
import type {
  Engine,
  EngineRequest,
  Finished,
  FinishReason,
  MediaPrompt,
  ModelInfo,
  Step,
} from "../engine.ts";
import { Turns } from "../turns.ts";
import { frames } from "./frames.ts";
import { inlineImages } from "./inline-images.ts";
import { encoded, fromWire, type ReadyMessage, readyMessage, understood, wirePlan } from "./protocol.ts";
import { parseRows, takeRows } from "./rows-file.ts";
import { SampleEnds } from "./sample-ends.ts";
import { ServerClient } from "./server-client.ts";

/** How to reach a `vllm serve`. */
export interface ServerOptions {
  /** The key the server was started with. Default: `VLLM_API_KEY`. */
  readonly apiKey?: string;
}

/** Requests that are sent and not answered yet, per run; vLLM schedules them, and more would only wait there. */
const CONCURRENT = 128;

const count = z.int().nonnegative();
const info = readyMessage.extend({ proof: z.string() });
const opened = z.object({ key: z.string().regex(/^[\w-]+$/), local: z.boolean() });
const frame = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("rows"),
    path: z.string().optional(),
    newTokens: z.array(z.tuple([count, z.string()])).default([]),
  }),
  z.object({ type: z.literal("ended"), sample: count, rows: count, tokens: count }),
  z.object({ type: z.literal("error"), error: z.object({ code: z.string(), message: z.string() }) }),
  z.object({ type: z.literal("end") }),
]);
const models = z.object({ data: z.array(z.object({ id: z.string() })).min(1) });
const tokenized = z.object({ tokens: z.array(count) });
const detokenized = z.object({ prompt: z.string() });
const completion = z.object({
  choices: z
    .array(
      z.object({
        text: z.string(),
        finish_reason: z.string().nullable(),
        stop_reason: z.union([z.string(), z.number()]).nullish(),
        token_ids: z.array(count),
      }),
    )
    .length(1),
});

const completed = z.object({
  tokens: z.array(count),
  text: z.string(),
  reason: z.enum(["length", "eos", "stop"]),
});

/** A `vllm serve` that has the plugin, somewhere else. */
export class VllmServerEngine implements Engine {
  readonly kind = "vllm";
  readonly version: string;
  readonly model: ModelInfo;
  readonly devices: readonly string[];
  readonly contextSize: number;
  readonly chatTemplate: string | null;
  readonly namedTemplates?: Engine["namedTemplates"];
  readonly specialTokens: Readonly<Record<string, string>>;
  readonly encode?: Engine["encode"];
  readonly #client: ServerClient;
  /** What the server calls the model. */
  readonly #served: string;
  /** Shows the server that we read its files; `null`: we cannot. */
  readonly #proof: string | null;
  readonly #tokenText = new Map<number, string>();
  readonly #turns = new Turns();
  readonly #closing = new AbortController();

  private constructor(client: ServerClient, ready: ReadyMessage, served: string, proof: string | null) {
    this.#client = client;
    this.#served = served;
    this.#proof = proof;
    this.version = ready.vllm;
    this.model = { ...ready.model, source: client.base };
    this.devices = ready.devices;
    this.contextSize = ready.contextSize;
    this.chatTemplate = ready.chatTemplate;
    this.namedTemplates = ready.namedTemplates;
    this.specialTokens = ready.specialTokens;
    if (ready.vision) this.encode = (prompt) => this.#encode(prompt);
  }

  /**
   * Attach to a server.
   *
   * @param url of the server, e.g. `http://host:8000`.
   * @throws EngineError `ENGINE_UNAVAILABLE` where no server answers, it has no plugin or wants a key.
   */
  static async attach(
    url: string,
    options: ServerOptions = {},
    signal?: AbortSignal,
  ): Promise<VllmServerEngine> {
    const client = new ServerClient(new URL(url).origin, options.apiKey ?? process.env.VLLM_API_KEY);
    const ready = await client.get("/v1/moescope/info", info, signal);
    const { data } = await client.get("/v1/models", models, signal);
    // A server elsewhere does not get to say which files are read here.
    const near = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(url).hostname);
    const proof = near ? await readFile(ready.proof, "utf8").catch(() => null) : null;
    return new VllmServerEngine(client, ready, data[0]!.id, proof);
  }

  async tokenize(
    text: string,
    { addSpecial = true }: { addSpecial?: boolean; parseSpecial?: boolean } = {},
  ): Promise<Int32Array> {
    const body = { model: this.#served, prompt: text, add_special_tokens: addSpecial };
    return Int32Array.from((await this.#client.post("/tokenize", body, tokenized)).tokens);
  }

  async detokenize(tokens: Int32Array): Promise<string> {
    const body = { model: this.#served, tokens: [...tokens] };
    return (await this.#client.post("/detokenize", body, detokenized)).prompt;
  }

  tokenText(tokenId: number): string {
    return this.#tokenText.get(tokenId) ?? `<${tokenId}>`;
  }

  async modelHash(): Promise<null> {
    return null;
  }

  async #encode({ prompt, images }: MediaPrompt) {
    const body = { prompt, images: await inlineImages(images) };
    const { tokens, media } = await this.#client.post("/v1/moescope/encode", body, encoded);
    return { tokens: Int32Array.from(tokens), media };
  }

  async *run(
    requests: readonly EngineRequest[],
    plan: Plan,
    { signal }: { signal?: AbortSignal } = {},
  ): AsyncGenerator<Step, void, void> {
    const release = await this.#turns.take();
    // Stops the requests: by the caller, by close(), and when the loop is left early.
    const stop = new AbortController();
    const signals = [stop.signal, this.#closing.signal, ...(signal ? [signal] : [])];
    try {
      yield* this.#exchange(requests, plan, AbortSignal.any(signals));
    } finally {
      stop.abort();
      release();
    }
  }

  async *#exchange(
    requests: readonly EngineRequest[],
    plan: Plan,
    signal: AbortSignal,
  ): AsyncGenerator<Step, void, void> {
    signal.throwIfAborted();
    const { key, local } = await this.#client.post(
      "/v1/moescope/captures",
      {
        plan: wirePlan(plan, requests),
        samples: requests.length,
        ...(this.#proof !== null && { proof: this.#proof }),
      },
      opened,
      signal,
    );
    const path = `/v1/moescope/captures/${key}`;
    try {
      // A request that fails ends the others, and the stream of rows, which would wait for it for ever.
      const failed = new AbortController();
      const either = AbortSignal.any([signal, failed.signal]);
      // Each request listens to it.
      setMaxListeners(0, either);
      const stream = await this.#client.stream(path, either);
      const outputs = this.#send(requests, key, either);
      const all = Promise.all(outputs);
      all.catch((error) => failed.abort(error));
      const ends = new SampleEnds(requests);
      for await (const { head, body } of frames(stream)) {
        const message = understood(frame, head, this.#client.base);
        if (message.type === "error") throw fromWire(message.error);
        if (message.type === "end") break;
        if (message.type === "rows") {
          for (const [token, text] of message.newTokens) this.#tokenText.set(token, text);
          yield* ends.arrived(await this.#rows(body, message.path, local, plan));
        } else {
          yield* ends.counted(message.sample, message.rows);
          yield* ends.stepped([], message.tokens, [await outputs[message.sample]!]);
        }
      }
      await all;
      ends.assertAll();
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      // Also after a whole run: what is not there any more need not be forgotten.
      await this.#client.delete(path).catch(() => {});
    }
  }

  #rows(
    body: Uint8Array<ArrayBuffer>,
    path: string | undefined,
    local: boolean,
    plan: Plan,
  ): Promise<RowBatch> | RowBatch {
    if (path === undefined) return parseRows(body, this.#client.base, plan);
    if (local && this.#proof !== null) return takeRows(path, plan);
    throw new EngineError(
      "ENGINE_FAILED",
      `${this.#client.base} names a file here though it was not asked to`,
    );
  }

  /** Send the requests, a bounded number at a time; one promise each. */
  #send(requests: readonly EngineRequest[], key: string, signal: AbortSignal): Promise<Finished>[] {
    const running: Promise<unknown>[] = [];
    return requests.map(async (request, sample) => {
      const before = sample >= CONCURRENT ? running[sample - CONCURRENT] : undefined;
      const answer = (before ?? Promise.resolve()).then(() => this.#complete(request, sample, key, signal));
      running[sample] = answer.catch(() => {});
      return answer;
    });
  }

  async #complete(
    { tokens, media, maxTokens, sampling }: EngineRequest,
    sample: number,
    key: string,
    signal: AbortSignal,
  ): Promise<Finished> {
    if (media) return this.#completeWithImages(media, { key, sample, maxTokens, sampling }, signal);
    const body = {
      model: this.#served,
      prompt: [...tokens],
      // vLLM draws one at least; with 0 it is not part of the output.
      max_tokens: Math.max(1, maxTokens),
      temperature: sampling.temperature,
      top_k: sampling.topK,
      top_p: sampling.topP,
      min_p: sampling.minP,
      seed: sampling.seed,
      stop: sampling.stop,
      ignore_eos: sampling.ignoreEos,
      return_token_ids: true,
      vllm_xargs: { moescope: key, moescope_sample: sample },
    };
    const answer = await this.#client.compute("/v1/completions", body, completion, signal);
    const { text, token_ids: ids, finish_reason, stop_reason } = answer.choices[0]!;
    if (maxTokens === 0) return { sample, tokens: new Int32Array(0), text: "", reason: "length" };
    const reason: FinishReason =
      finish_reason !== "stop" ? "length" : typeof stop_reason === "string" ? "stop" : "eos";
    return { sample, tokens: Int32Array.from(ids), text, reason };
  }

  /** vLLM's own route for prompts takes no images. */
  async #completeWithImages(
    { prompt, images }: MediaPrompt,
    request: Pick<EngineRequest, "maxTokens" | "sampling"> & {
      readonly key: string;
      readonly sample: number;
    },
    signal: AbortSignal,
  ): Promise<Finished> {
    const body = { prompt, images: await inlineImages(images, signal), ...request };
    const { tokens, text, reason } = await this.#client.compute(
      "/v1/moescope/completions",
      body,
      completed,
      signal,
    );
    const { sample, maxTokens } = request;
    if (maxTokens === 0) return { sample, tokens: new Int32Array(0), text: "", reason: "length" };
    return { sample, tokens: Int32Array.from(tokens), text, reason };
  }

  async close(): Promise<void> {
    this.#closing.abort(
      new EngineError("ENGINE_CLOSED", "the connection was closed; load it again to use it"),
    );
  }
}
