import { z } from "zod";
import { EngineError, RequestError } from "../../errors.ts";
import { fromWire } from "./protocol.ts";

/** How long the server may take to answer a short question. A request that computes has no limit. */
const ANSWER_TIMEOUT_MS = 60_000;

const failure = z.object({
  // Ours has a code of the protocol, vLLM's own a number.
  error: z.object({ message: z.string(), code: z.union([z.string(), z.number()]).nullish() }),
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

  get(path: string, signal?: AbortSignal): Promise<unknown> {
    return this.#json("GET", path, undefined, withTimeout(signal));
  }

  post(path: string, body: object, signal?: AbortSignal): Promise<unknown> {
    return this.#json("POST", path, body, withTimeout(signal));
  }

  /** As {@link post}, for as long as it takes. */
  async compute(path: string, body: object, signal: AbortSignal): Promise<unknown> {
    return this.#json("POST", path, body, signal);
  }

  /** The answer's bytes as they come. */
  async stream(path: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const response = await this.#send("GET", path, undefined, signal);
    return response.body as unknown as AsyncIterable<Uint8Array>;
  }

  async delete(path: string): Promise<void> {
    await this.#send("DELETE", path, undefined, withTimeout());
  }

  async #json(method: string, path: string, body: object | undefined, signal: AbortSignal): Promise<unknown> {
    return (await this.#send(method, path, body, signal)).json();
  }

  async #send(
    method: string,
    path: string,
    body: object | undefined,
    signal: AbortSignal,
  ): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(this.base + path, {
        method,
        headers: this.#headers,
        body: body === undefined ? null : JSON.stringify(body),
        signal,
      });
    } catch (cause) {
      if (signal.aborted && (signal.reason as Error).name !== "TimeoutError") throw signal.reason;
      const why = ((cause as Error).cause as Error | undefined)?.message ?? (cause as Error).message;
      throw new EngineError(
        "ENGINE_UNAVAILABLE",
        `no vLLM answers at ${this.base} (${why}); is it running?`,
        {
          cause,
          retryable: true,
        },
      );
    }
    if (response.ok) return response;
    throw this.#refusal(response.status, path, await response.text());
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
    if (typeof error?.code === "string") return fromWire({ code: error.code, message: error.message });
    const what = `${this.base}${path} answers ${status}: ${(error?.message ?? text).slice(0, 500)}`;
    return status < 500 ? new RequestError("INVALID_ARGUMENT", what) : new EngineError("ENGINE_FAILED", what);
  }
}

function withTimeout(signal?: AbortSignal): AbortSignal {
  const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
