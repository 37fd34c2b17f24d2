import { setMaxListeners } from "node:events";
import { z } from "zod";
import type { Step } from "../../../core/engine.ts";
import { EngineError } from "../../../core/errors.ts";
import type { Plan } from "../../../core/plan.ts";
import type { EngineRequest, EngineText, MediaPrompt } from "../../../core/request.ts";
import type { RowBatch } from "../../../core/rows.ts";
import { PluginEngine } from "../plugin-engine.ts";
import {
  encoded,
  fromWire,
  type ReadyMessage,
  readyMessage,
  rowsEnd,
  tokensOf,
  understood,
  wireError,
  wirePlan,
  wireText,
} from "../protocol.ts";
import { parseRows, takeRows } from "../rows-file.ts";
import { SampleEnds } from "../sample-ends.ts";
import { warnIfUntested } from "../untested.ts";
import { frames } from "./frames.ts";
import { inlineImages } from "./inline-images.ts";
import { NearFolder } from "./near-folder.ts";
import { ServerClient } from "./server-client.ts";
import { ServerRequests } from "./server-requests.ts";

/** How to reach a `vllm serve`. */
export interface ServerOptions {
  /** The key the server was started with. Default: `VLLM_API_KEY`. */
  readonly apiKey?: string;
}

/** The longest wait for the last rows after the server has answered every request: they are on their way to its disk. */
const DRAIN_MS = 120_000;

const count = z.int().nonnegative();
const info = readyMessage.extend({ spool: z.string() });
const opened = z.object({ key: z.string().regex(/^[\w-]+$/), local: z.boolean() });
const frame = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("rows"),
    name: z.string().optional(),
    newTokens: z.array(z.tuple([count, z.string()])).default([]),
  }),
  rowsEnd.extend({ type: z.literal("ended"), tokens: count }),
  z.object({ type: z.literal("error"), error: wireError }),
  z.object({ type: z.literal("end") }),
]);
const models = z.object({ data: z.array(z.object({ id: z.string() })).min(1) });
const tokenized = z.object({ tokens: z.unknown() });
const detokenized = z.object({ prompt: z.string() });

/** A `vllm serve` that has the plugin, somewhere else. */
export class VllmServerEngine extends PluginEngine {
  readonly #client: ServerClient;
  /** What the server calls the model. */
  readonly #served: string;
  /** Where the server keeps its files, if it may be on this host. */
  readonly #spool: string | null;
  readonly #requests: ServerRequests;
  readonly #closing = new AbortController();

  private constructor(client: ServerClient, ready: ReadyMessage, served: string, spool: string | null) {
    super(ready, client.base);
    this.#client = client;
    this.#served = served;
    this.#spool = spool;
    this.#requests = new ServerRequests(client, served, ready.embedding);
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
    const near = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(url).hostname);
    warnIfUntested(ready);
    return new VllmServerEngine(client, ready, data[0]!.id, near ? ready.spool : null);
  }

  async tokenize(texts: readonly EngineText[]): Promise<Int32Array[]> {
    const body = { texts: texts.map(wireText) };
    const { tokens } = await this.#client.post("/v1/moescope/tokenize", body, tokenized);
    return tokensOf(texts, tokens, this.#client.base);
  }

  async detokenize(tokens: Int32Array): Promise<string> {
    const body = { model: this.#served, tokens: [...tokens] };
    return (await this.#client.post("/detokenize", body, detokenized)).prompt;
  }

  protected async encodeMedia({ prompt, images }: MediaPrompt) {
    const body = { prompt, images: await inlineImages(images) };
    const { tokens, media } = await this.#client.post("/v1/moescope/encode", body, encoded);
    return { tokens: Int32Array.from(tokens), media };
  }

  protected async *steps(
    requests: readonly EngineRequest[],
    plan: Plan,
    { signal }: { signal?: AbortSignal },
  ): AsyncGenerator<Step, void, void> {
    // Stops the requests: by the caller, by close(), and when the loop is left early.
    const stop = new AbortController();
    const signals = [stop.signal, this.#closing.signal, ...(signal ? [signal] : [])];
    try {
      yield* this.#exchange(requests, plan, AbortSignal.any(signals));
    } finally {
      stop.abort();
    }
  }

  async *#exchange(
    requests: readonly EngineRequest[],
    plan: Plan,
    signal: AbortSignal,
  ): AsyncGenerator<Step, void, void> {
    signal.throwIfAborted();
    const near = this.#spool === null ? null : await NearFolder.make(this.#spool);
    try {
      const { key, local } = await this.#client.post(
        "/v1/moescope/captures",
        { plan: wirePlan(plan, requests), samples: requests.length, ...(near && { near: near.told }) },
        opened,
        signal,
      );
      const path = `/v1/moescope/captures/${key}`;
      try {
        yield* this.#follow(requests, plan, { key, near: local ? near : null, path }, signal);
      } finally {
        // Also after a whole run: what is not there any more need not be forgotten.
        await this.#client.delete(path).catch(() => {});
      }
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      await near?.remove();
    }
  }

  /** Sends the requests and takes their rows, until every sample has ended or will not. */
  async *#follow(
    requests: readonly EngineRequest[],
    plan: Plan,
    { key, near, path }: { readonly key: string; readonly near: NearFolder | null; readonly path: string },
    signal: AbortSignal,
  ): AsyncGenerator<Step, void, void> {
    // A request that is wrong ends the others, and the stream of rows, which would wait for it.
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    // Each request listens to it.
    setMaxListeners(0, either);
    const ends = new SampleEnds(requests);
    const stream = await this.#client.stream(path, either);
    const outputs = this.#requests.send(requests, key, either);
    let drain: NodeJS.Timeout | undefined;
    const wait = () => {
      if (ends.settled) stop.abort(SETTLED);
      clearTimeout(drain);
      drain = setTimeout(() => stop.abort(missingRows(this.#client.base)), DRAIN_MS);
    };
    const all = Promise.all(outputs);
    all.then(
      (answers) => {
        for (const answer of answers)
          if ("lost" in answer) ends.lost(answer.sample, answer.lost, answer.error);
        wait();
      },
      (error) => stop.abort(error),
    );
    try {
      for await (const { head, body } of frames(stream)) {
        const message = understood(frame, head, this.#client.base);
        if (message.type === "error") throw fromWire(message.error);
        if (message.type === "end") break;
        if (message.type === "rows") {
          for (const [token, text] of message.newTokens) this.tokenTexts.set(token, text);
          yield* ends.arrived(await this.#rows(body, message.name, near, plan));
        } else {
          yield* ends.counted(message);
          const output = message.how === "complete" ? await outputs[message.sample]! : null;
          yield* ends.stepped([], message.tokens, output && !("lost" in output) ? [output] : []);
        }
        if (drain !== undefined) wait();
      }
      await all;
    } catch (error) {
      if (error !== SETTLED) throw error;
    } finally {
      clearTimeout(drain);
    }
    ends.assertAll();
  }

  #rows(
    body: Uint8Array<ArrayBuffer>,
    name: string | undefined,
    near: NearFolder | null,
    plan: Plan,
  ): Promise<RowBatch> | RowBatch {
    if (name === undefined) return parseRows(body, this.#client.base, plan);
    const path = near?.path(name);
    if (path) return takeRows(path, plan);
    throw new EngineError(
      "ENGINE_FAILED",
      `${this.#client.base} names a file here that it was not asked for: ${JSON.stringify(name.slice(0, 100))}`,
    );
  }

  async close(): Promise<void> {
    this.#closing.abort(
      new EngineError("ENGINE_CLOSED", "the connection was closed; load it again to use it"),
    );
  }
}

/** Nothing more is awaited. */
const SETTLED = Symbol("settled");

const missingRows = (base: string) =>
  new EngineError(
    "ENGINE_FAILED",
    `${base} has answered every request, but no row has come for ${DRAIN_MS / 1000} s and some are missing`,
  );
