import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";

/** Bytes that wait for a slow reader before its stream counts as full. */
const MAX_BACKLOG = 8 << 20;
/** A reader that makes no room for this long (ms) is gone for good. */
const PATIENCE_MS = 30_000;
/** So that proxies keep the connection, and a reader that is gone is noticed. */
const HEARTBEAT_MS = 15_000;

const encoder = new TextEncoder();

/** Server-sent events to one client. */
export class EventStream {
  readonly response: Response;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
  /** Resolves when it has ended, or the client has gone. */
  readonly over: Promise<void>;
  #settle!: () => void;
  readonly #gone = new AbortController();
  readonly #controller: ReadableStreamDefaultController<Uint8Array>;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #hangUp: () => void;
  #ended = false;
  /** Resolves when there is room again; set while somebody waits for it. */
  #room: { readonly promise: Promise<void>; readonly resolve: () => void } | null = null;

  constructor(c: Context) {
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>(
      {
        start: (given) => {
          controller = given;
        },
        pull: () => this.#drained(),
        cancel: () => this.#leave(),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: MAX_BACKLOG }),
    );
    this.#controller = controller;
    this.#hangUp = () => (c.env as Partial<HttpBindings> | undefined)?.outgoing?.destroy();
    this.signal = this.#gone.signal;
    this.over = new Promise((resolve) => {
      this.#settle = resolve;
    });
    c.req.raw.signal.addEventListener("abort", () => this.#leave(), { once: true });
    this.#heartbeat = setInterval(() => this.#write(": alive\n\n"), HEARTBEAT_MS).unref();
    this.response = new Response(body, {
      headers: {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        // Proxies such as nginx would wait for more.
        "x-accel-buffering": "no",
      },
    });
  }

  /** Send unless the reader is too far behind. @returns whether it was sent. */
  offer(data: unknown, event?: string): boolean {
    if ((this.#controller.desiredSize ?? 0) <= 0) {
      // Nobody waits for the room, but the reader has to make some all the same.
      if (!this.signal.aborted && !this.#ended) void this.#drain();
      return false;
    }
    this.#write(format(data, event));
    return true;
  }

  /** Send, waiting for a reader that is behind; one that takes nothing for half a minute has gone. */
  async send(data: unknown, event?: string): Promise<void> {
    if (!this.signal.aborted && !this.#ended && (this.#controller.desiredSize ?? 0) <= 0) await this.#drain();
    this.#write(format(data, event));
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#heartbeat);
    if (!this.signal.aborted) this.#controller.close();
    this.#settle();
  }

  /** Wait for room; all that wait share one promise. */
  #drain(): Promise<void> {
    if (!this.#room) {
      let release!: () => void;
      const promise = new Promise<void>((resolve) => {
        release = resolve;
      });
      const timer = setTimeout(() => {
        this.#leave();
        // It only stopped reading, and still holds the connection and what waits for it.
        this.#hangUp();
      }, PATIENCE_MS).unref();
      this.#room = {
        promise,
        resolve: () => {
          clearTimeout(timer);
          release();
        },
      };
    }
    return this.#room.promise;
  }

  #drained(): void {
    this.#room?.resolve();
    this.#room = null;
  }

  #write(text: string): void {
    if (!this.#ended && !this.signal.aborted) this.#controller.enqueue(encoder.encode(text));
  }

  #leave(): void {
    if (this.signal.aborted) return;
    clearInterval(this.#heartbeat);
    this.#gone.abort(new DOMException("the client has gone", "AbortError"));
    this.#drained();
    this.#settle();
  }
}

/** A string goes out as it is, anything else as JSON. */
const format = (data: unknown, event: string | undefined) =>
  `${event ? `event: ${event}\n` : ""}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
