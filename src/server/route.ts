import type { Context, Hono } from "hono";
import type { z } from "zod";
import { ServerError } from "./server-error.ts";

type Method = "get" | "post" | "delete";

/** What a route answers with one status. */
export interface ResponseSpec {
  readonly description: string;
  /** Of the body, or of the data of each event. */
  readonly schema?: z.ZodType;
  /** Of a body that is no JSON, e.g. `text/event-stream`. */
  readonly type?: string;
}

/** One route of the API: what checks its input, and what the API's description is made from. */
export interface RouteSpec<
  P extends z.ZodType = z.ZodType,
  Q extends z.ZodType = z.ZodType,
  B extends z.ZodType = z.ZodType,
> {
  readonly method: Method;
  /** With parameters as `{id}`. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly responses: Readonly<Record<number, ResponseSpec>>;
  /** How it says what went wrong. Default: as the rest of the API does. */
  readonly problem?: z.ZodType;
}

/** What a handler gets: input that has been checked. */
export interface Input<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly c: Context;
}

/** A route with what answers it. */
export interface Route {
  readonly spec: RouteSpec;
  readonly handle: (c: Context) => Promise<Response>;
}

/**
 * A route that checks its input.
 *
 * @throws ServerError `INVALID_REQUEST` naming the first thing that is wrong.
 */
export function route<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(
  spec: RouteSpec<P, Q, B>,
  handler: (input: Input<z.output<P>, z.output<Q>, z.output<B>>) => Response | Promise<Response>,
): Route {
  return {
    spec,
    async handle(c) {
      const params = check(spec.params, c.req.param(), "path");
      const query = check(spec.query, c.req.query(), "query");
      const body = spec.body && check(spec.body, await jsonBody(c), "body");
      return handler({ params, query, body, c } as Input<z.output<P>, z.output<Q>, z.output<B>>);
    },
  };
}

export function mount(app: Hono, routes: readonly Route[]): void {
  for (const { spec, handle } of routes)
    app.on(spec.method.toUpperCase(), spec.path.replaceAll(/\{(\w+)\}/g, ":$1"), handle);
}

function check(schema: z.ZodType | undefined, value: unknown, where: string): unknown {
  if (!schema) return undefined;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  const param = path.join(".");
  throw new ServerError(
    "INVALID_REQUEST",
    `the ${where} is wrong${param === "" ? "" : ` at ${param}`}: ${message}`,
    param === "" ? {} : { param },
  );
}

async function jsonBody(c: Context): Promise<unknown> {
  // A form of another site can send text, never this type without asking first.
  if (!/^application\/json\b/i.test(c.req.header("content-type") ?? ""))
    throw new ServerError("INVALID_REQUEST", "the body must be JSON, with content-type: application/json");
  const text = await c.req.text();
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ServerError("INVALID_REQUEST", `the body is no JSON: ${(cause as Error).message}`, { cause });
  }
}
