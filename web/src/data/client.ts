import type { z } from "zod";
import type {
  Declaration,
  EventsTold,
  JsonTold,
  Told,
  ValuesTold,
} from "../../../src/server/host/declaration.ts";
import { type StreamEvent, streamEvents } from "./event-stream.ts";

/** What the client reads of a part of the API as the server declares it; questions are asked with `get`. */
export type Declared = Pick<Declaration, "path" | "answer"> & Partial<Pick<Declaration, "method">>;

/** An array as it came. */
interface ValuesAnswer {
  readonly data: Float32Array | Uint16Array | Int32Array | Uint8Array;
  /** Slowest axis first. */
  readonly shape: readonly number[];
}

type MethodOf<D> = D extends { readonly method: infer M } ? M : "get";
type Of<D, M> = D extends unknown ? (MethodOf<D> extends M ? D : never) : never;
type PathOf<D extends Declared, M> = Of<D, M>["path"];
type At<D extends Declared, M, P> = Extract<Of<D, M>, { readonly path: P }>;

/** What is left out may be `null` as well. */
type Nullable<T> = { readonly [K in keyof T]: undefined extends T[K] ? T[K] | null : T[K] };
type AskedOf<D> = D extends { readonly asked?: infer A extends z.ZodType } ? Nullable<z.input<A>> : object;
type BodyOf<D> = D extends { readonly body?: infer B extends z.ZodType } ? z.input<B> : never;
type AnswerOf<T extends Told> =
  T extends JsonTold<infer J>
    ? J
    : T extends ValuesTold
      ? ValuesAnswer
      : T extends EventsTold
        ? AsyncGenerator<StreamEvent>
        : never;

/** How long to wait before asking whether something is done, in milliseconds. */
const ASK_AGAIN = 400;

const ARRAYS = { float32: Float32Array, uint16: Uint16Array, int32: Int32Array, uint8: Uint8Array } as const;

/**
 * Asks the server by what it declares: a question that is added there can be asked here, with the types of its file.
 *
 * @param send throws for an answer that is a failure.
 */
export class Client<D extends Declared> {
  readonly #send: (path: string, init: RequestInit) => Promise<Response>;

  constructor(send: (path: string, init: RequestInit) => Promise<Response>) {
    this.#send = send;
  }

  /** The answer, once it is there: what takes the server a while is asked for again. */
  async get<P extends PathOf<D, "get">>(
    path: P,
    asked: AskedOf<At<D, "get", P>>,
    signal?: AbortSignal,
  ): Promise<AnswerOf<At<D, "get", P>["answer"]>> {
    for (;;) {
      const response = await this.#send(addressOf(path, asked), signal ? { signal } : {});
      if (response.status !== 202) return read(response) as never;
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN));
      signal?.throwIfAborted();
    }
  }

  async post<P extends PathOf<D, "post">>(
    path: P,
    body: BodyOf<At<D, "post", P>>,
    signal?: AbortSignal,
  ): Promise<AnswerOf<At<D, "post", P>["answer"]>> {
    const headers = { "content-type": "application/json" };
    const init = { method: "POST", headers, body: JSON.stringify(body), ...(signal && { signal }) };
    return read(await this.#send(path, init)) as never;
  }

  async delete<P extends PathOf<D, "delete">>(
    path: P,
    asked: AskedOf<At<D, "delete", P>>,
  ): Promise<AnswerOf<At<D, "delete", P>["answer"]>> {
    return read(await this.#send(addressOf(path, asked), { method: "DELETE" })) as never;
  }
}

/** The path with its parameters filled in, and the rest as a query. */
function addressOf(path: string, asked: object): string {
  const rest = new Map(Object.entries(asked).filter(([, value]) => value !== null && value !== undefined));
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = rest.get(name);
    rest.delete(name);
    return encodeURIComponent(String(value));
  });
  const query = new URLSearchParams(
    [...rest].map(([name, value]): [string, string] => [name, String(value)]),
  );
  return rest.size === 0 ? filled : `${filled}?${query}`;
}

async function read(response: Response): Promise<unknown> {
  const type = response.headers.get("content-type") ?? "";
  if (type.startsWith("text/event-stream")) return streamEvents(response);
  if (!type.startsWith("application/octet-stream")) return response.json();
  const { headers } = response;
  const data = new ARRAYS[headers.get("x-dtype") as keyof typeof ARRAYS](await response.arrayBuffer());
  return { data, shape: headers.get("x-shape")!.split(",").map(Number) };
}
