import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import { z } from "zod";
import { EngineError, RequestError } from "../../../core/errors.ts";
import { fromWire, understood } from "../protocol.ts";

/** How long the server may take to answer a short question. A request that computes has no limit. */
const ANSWER_TIMEOUT_MS = 60_000;

/** Statuses of a server, or a proxy before it, that has no room or no time now (RFC 9110, 6585). */
const LATER = [408, 429, 502, 503, 504];

/** Ours has a code of the protocol, vLLM's own a number. */
const failure = z.object({
  error: z.object({
    message: z.string(),
    code: z.union([z.string(), z.number()]).nullish(),
    retryable: z.boolean().optional(),
  }),
});

/** HTTP to a `vllm serve`, with errors in words. */
export class ServerClient {
  readonly base: string;
  readonly #headers: Record<string, string>;

  /** @param base URL without a path behind it. */
  constructor(base: string, apiKey: string | undefined) {
    this.base = base;
    this.#headers = {
      "content-type": "application/json",
      ...(apiKey && { authorization: `Bearer ${apiKey}` }),
    };
  }

  get<T>(path: string, answer: z.ZodType<T>, signal?: AbortSignal): Promise<T> {
    return this.#json("GET", path, undefined, answer, withTimeout(signal));
  }

  post<T>(path: string, body: object, answer: z.ZodType<T>, signal?: AbortSignal): Promise<T> {
    return this.#json("POST", path, body, answer, withTimeout(signal));
  }

  /** As {@link post}, for as long as it takes. */
  compute<T>(path: string, body: object, answer: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    return this.#json("POST", path, body, answer, signal);
  }

  /** The answer's bytes as they come; asked for when this resolves. */
  async stream(path: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    return this.#bytes(await this.#send("GET", path, undefined, signal), signal);
  }

  async delete(path: string): Promise<void> {
    (await this.#send("DELETE", path, undefined, withTimeout())).resume();
  }

  async #json<T>(
    method: string,
    path: string,
    body: object | undefined,
    answer: z.ZodType<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const text = await this.#text(await this.#send(method, path, body, signal), signal);
    return understood(answer, parse(text), `${this.base}${path}`);
  }

  async #send(
    method: string,
    path: string,
    body: object | undefined,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    signal.throwIfAborted();
    const url = new URL(this.base + path);
    // Not fetch, which gives up after five minutes without a byte: a long text or a queue takes longer. A connection
    // each: one that is kept may be closed by the server while the next request is on its way.
    const options = { method, headers: this.#headers, signal, agent: false };
    const { request } = url.protocol === "https:" ? https : http;
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request(url, options, resolve)
        .on("error", reject)
        .end(body && JSON.stringify(body));
    }).catch((cause) => {
      throw (
        stopped(signal) ??
        new EngineError(
          "ENGINE_UNAVAILABLE",
          `no vLLM answers at ${this.base} (${reasonOf(cause, signal)}); is it running?`,
          { cause, retryable: true },
        )
      );
    });
    const status = response.statusCode!;
    if (status >= 200 && status < 300) return response;
    throw this.#refusal(status, path, await this.#text(response, signal));
  }

  async #text(response: IncomingMessage, signal: AbortSignal): Promise<string> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#bytes(response, signal)) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  }

  async *#bytes(response: IncomingMessage, signal: AbortSignal): AsyncGenerator<Uint8Array, void, void> {
    try {
      yield* response;
    } catch (cause) {
      throw (
        stopped(signal) ??
        new EngineError(
          "ENGINE_FAILED",
          `the connection to ${this.base} broke off (${reasonOf(cause, signal)}); try again`,
          { cause, retryable: true },
        )
      );
    }
  }

  #refusal(status: number, path: string, text: string): Error {
    if (status === 401 || status === 403)
      return new EngineError(
        "ENGINE_UNAVAILABLE",
        `${this.base} wants an API key: load it with apiKey, or set VLLM_API_KEY`,
      );
    if (status === 404 && path === "/v1/moescope/info")
      return new EngineError(
        "ENGINE_UNAVAILABLE",
        `${this.base} answers, but without moescope's plugin: start it as \`PYTHONPATH=$(npx moescope plugin-path) ` +
          "VLLM_PLUGINS=moescope vllm serve ...` (docs/vllm.md)",
      );
    const { error } = failure.safeParse(parse(text)).data ?? {};
    if (typeof error?.code === "string") return fromWire({ ...error, code: error.code });
    const what = `${this.base}${path} answers ${status}: ${(error?.message ?? text).slice(0, 500)}`;
    if (LATER.includes(status)) return new EngineError("ENGINE_UNAVAILABLE", what, { retryable: true });
    return status < 500 ? new RequestError("INVALID_ARGUMENT", what) : new EngineError("ENGINE_FAILED", what);
  }
}

function withTimeout(signal?: AbortSignal): AbortSignal {
  const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}

/** What the caller stopped a request with, if it was the caller. */
const stopped = ({ aborted, reason }: AbortSignal): unknown => (aborted && !timedOut(reason) ? reason : null);

const timedOut = (reason: unknown) => reason instanceof Error && reason.name === "TimeoutError";

function reasonOf(cause: unknown, { aborted }: AbortSignal): string {
  if (aborted) return `nothing in ${ANSWER_TIMEOUT_MS / 1000} s`;
  // Where a name has several addresses each has failed, and the message is empty.
  const { message, code } = cause as NodeJS.ErrnoException;
  return message || String(code);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
