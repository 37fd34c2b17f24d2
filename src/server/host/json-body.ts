import { setImmediate } from "node:timers/promises";
import type { Context } from "hono";
import { JSON_LIMITS, JsonCounter } from "./json-limits.ts";
import { ServerError } from "./server-error.ts";

/** Bytes of all bodies that are being read or worked on; what is made of them takes a few times as much. */
const MAX_TOGETHER = 128 << 20;

/** The bodies of all requests, counted together. */
export class JsonBodies {
  readonly #limit: number;
  #bytes = 0;
  #turn: Promise<void> = Promise.resolve();

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

  /** Settles when it is this body's turn to be parsed: many that end at once hold nobody up for as long as all of them. */
  turn(): Promise<void> {
    const mine = this.#turn;
    this.#turn = mine.then(() => setImmediate());
    return mine;
  }
}

/** Bytes of a body that is refused which are read all the same. */
const MAX_THROWN_AWAY = 64 << 20;

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
  const body = new Body(bodies);
  if (length > JSON_LIMITS.bytes) body.refuse(tooLong(length));
  // Who is refused while still sending may never read why: the rest is taken and thrown away.
  try {
    if (length <= MAX_THROWN_AWAY) for await (const chunk of chunksOf(c)) if (!body.add(chunk)) break;
    await bodies.turn();
    return { value: JSON.parse(body.text()), release: () => body.release() };
  } catch (cause) {
    body.release();
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new ServerError("INVALID_REQUEST", `the body is no JSON: ${cause.message}`, { cause });
  }
}

/** A body as far as it has arrived. */
class Body {
  readonly #bodies: JsonBodies;
  readonly #counter = new JsonCounter();
  readonly #decoder = new TextDecoder();
  #pieces: string[] = [];
  #taken = 0;
  #thrownAway = 0;
  #refusal: unknown = null;

  constructor(bodies: JsonBodies) {
    this.#bodies = bodies;
  }

  /** @returns whether to go on reading. */
  add(chunk: Uint8Array): boolean {
    if (this.#refusal === null)
      try {
        this.#bodies.take(chunk.length);
        this.#taken += chunk.length;
        this.#counter.add(chunk);
        this.#pieces.push(this.#decoder.decode(chunk, { stream: true }));
      } catch (refusal) {
        this.refuse(refusal);
      }
    else this.#thrownAway += chunk.length;
    return this.#thrownAway <= MAX_THROWN_AWAY;
  }

  refuse(why: unknown): void {
    this.#refusal = why;
    this.release();
  }

  /** @throws what it was refused for. */
  text(): string {
    if (this.#refusal !== null) throw this.#refusal;
    this.#pieces.push(this.#decoder.decode());
    const text = this.#pieces.join("");
    this.#pieces = [];
    return text;
  }

  release(): void {
    this.#bodies.give(this.#taken);
    this.#taken = 0;
    this.#pieces = [];
  }
}

const tooLong = (length: number) =>
  new ServerError(
    "TOO_LARGE",
    `the body has ${length} bytes, the limit is ${JSON_LIMITS.bytes}; send it in parts, or use the command line`,
  );

async function* chunksOf(c: Context): AsyncGenerator<Uint8Array> {
  const reader = c.req.raw.body?.getReader();
  if (!reader) return;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
