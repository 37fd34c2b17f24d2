import type { Context, Hono } from "hono";
import type { z } from "zod";
import { type Declaration, type Method, pathNames, type Told } from "./declaration.ts";
import { type JsonBodies, readJson } from "./json-body.ts";
import { ServerError } from "./server-error.ts";

/** What a handler gets: input that has been checked. */
export interface Input<A, B> {
  readonly asked: A;
  readonly body: B;
  readonly c: Context;
  /** Count the body's memory until this has settled: for work that goes on after the answer. */
  keep(work: Promise<unknown>): void;
}

/** A declaration with what answers it. */
export interface Route<D extends Declaration = Declaration> {
  readonly spec: D;
  readonly handle: (c: Context, bodies: JsonBodies) => Promise<Response>;
}

/**
 * A route that checks its input.
 *
 * @throws ServerError `INVALID_REQUEST` naming the first thing that is wrong.
 */
export function route<
  M extends Method,
  const P extends string,
  A extends z.ZodObject,
  B extends z.ZodType,
  T extends Told,
>(
  spec: Declaration<M, P, A, B, T>,
  handler: (input: Input<z.output<A>, z.output<B>>) => Response | Promise<Response>,
): Route<Declaration<M, P, A, B, T>> {
  return {
    spec,
    async handle(c, bodies) {
      const asked = askedOf(spec, c);
      if (!spec.body) return handler({ asked, body: undefined, c, keep: () => {} } as never);
      const { value, release } = await readJson(c, bodies);
      const works: Promise<unknown>[] = [];
      try {
        const body = check(spec.body, value, () => "body");
        return await handler({ asked, body, c, keep: (work: Promise<unknown>) => works.push(work) } as never);
      } finally {
        void Promise.allSettled(works).then(release);
      }
    },
  };
}

export function mount(app: Hono, routes: readonly Route[], bodies: JsonBodies): void {
  for (const { spec, handle } of routes)
    app.on(spec.method.toUpperCase(), spec.path.replaceAll(/\{(\w+)\}/g, ":$1"), (c) => handle(c, bodies));
}

function askedOf({ asked, path }: Declaration, c: Context): unknown {
  if (!asked) return {};
  const names = pathNames(path);
  const given = { ...c.req.query(), ...c.req.param() };
  return check(asked, given, (name) => (names.includes(name) ? "path" : "query"));
}

function check(schema: z.ZodType, value: unknown, where: (name: string) => string): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  const param = path.join(".");
  throw new ServerError(
    "INVALID_REQUEST",
    `the ${where(String(path[0] ?? ""))} is wrong${param === "" ? "" : ` at ${param}`}: ${message}`,
    param === "" ? {} : { param },
  );
}
