import type { Context } from "hono";
import { JSON_LIMITS, JsonCounter } from "./json-limits.ts";
import { ServerError } from "./server-error.ts";

/** Bytes of all bodies that are being read or worked on; what is made of them takes a few times as much. */
const MAX_TOGETHER = 128 << 20;

/** The bodies of all requests, counted together. */
export class JsonBodies {
  readonly #limit: number;
  #bytes = 0;

  constructor(limit = MAX_TOGETHER) {
    this.#limit = limit;
  }

  /** @throws ServerError `BUSY`. */
  take(bytes: number): void {
    if (this.#bytes + bytes > this.#limit)
      throw new ServerError("BUSY", "too many large requests are being worked on; try again in a moment");
    this.#bytes += bytes;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}

export interface ReadBody {
  readonly value: unknown;
  /** The body's memory is not needed any more. */
  release(): void;
}

/**
 * A request's body as JSON.
 *
 * @throws ServerError `TOO_LARGE`, `INVALID_REQUEST`, `BUSY`.
 */
export async function readJson(c: Context, bodies: JsonBodies): Promise<ReadBody> {
  // A form of another site can send text, never this type without asking first.
  if (!/^application\/json\b/i.test(c.req.header("content-type") ?? ""))
    throw new ServerError("INVALID_REQUEST", "the body must be JSON, with content-type: application/json");
  const length = Number(c.req.header("content-length") ?? 0);
  if (length > JSON_LIMITS.bytes)
    throw new ServerError(
      "TOO_LARGE",
      `the body has ${length} bytes, the limit is ${JSON_LIMITS.bytes}; send it in parts, or use the command line`,
    );
  const counter = new JsonCounter();
  let taken = 0;
  const release = () => {
    bodies.give(taken);
    taken = 0;
  };
  try {
    const decoder = new TextDecoder();
    const pieces: string[] = [];
    for await (const chunk of chunksOf(c)) {
      bodies.take(chunk.length);
      taken += chunk.length;
      counter.add(chunk);
      pieces.push(decoder.decode(chunk, { stream: true }));
    }
    pieces.push(decoder.decode());
    return { value: parse(pieces.join("")), release };
  } catch (error) {
    release();
    throw error;
  }
}

async function* chunksOf(c: Context): AsyncGenerator<Uint8Array> {
  const reader = c.req.raw.body?.getReader();
  if (!reader) return;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ServerError("INVALID_REQUEST", `the body is no JSON: ${(cause as Error).message}`, { cause });
  }
}
