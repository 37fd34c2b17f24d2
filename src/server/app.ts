import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { secureHeaders } from "hono/secure-headers";
import { MoescopeError } from "../errors.ts";
import type { Problem } from "./api/values.ts";
import type { CaptureLibrary } from "./capture-library.ts";
import { type Explorer, serveExplorer } from "./explorer.ts";
import { type Access, guard } from "./guard.ts";
import { openApiDocument } from "./openapi.ts";
import { json } from "./respond.ts";
import { mount, type Route } from "./route.ts";
import { analysisRoutes } from "./routes/analysis.ts";
import { captureRoutes } from "./routes/captures.ts";
import { ServerError } from "./server-error.ts";

/** Prompts for a corpus fit in it; what is larger is for the command line. */
const MAX_BODY = 16 << 20;

export interface AppParts {
  readonly access: Access;
  readonly library: CaptureLibrary;
  readonly explorer: Explorer;
}

/** All routes of the API: what serves them, and what describes them. */
export function apiRoutes({ library }: Pick<AppParts, "library">): Route[] {
  return [...captureRoutes(library), ...analysisRoutes(library)];
}

/** The server without its socket: takes requests, gives responses. */
export function createApp(parts: AppParts): Hono {
  const app = new Hono();
  app.use(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'", "data:", "blob:"],
        fontSrc: ["'self'"],
        connectSrc: ["'self'"],
        workerSrc: ["'self'"],
        manifestSrc: ["'self'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
      },
      referrerPolicy: "no-referrer",
      // It is plain HTTP, on the own machine.
      strictTransportSecurity: false,
    }),
  );
  app.use(guard(parts.access));
  app.use(
    bodyLimit({
      maxSize: MAX_BODY,
      onError: () => {
        throw new ServerError(
          "TOO_LARGE",
          `the body is larger than ${MAX_BODY} bytes; use the command line for that`,
        );
      },
    }),
  );
  const routes = apiRoutes(parts);
  mount(app, routes);
  const description = openApiDocument(routes.map(({ spec }) => spec));
  app.get("/api/openapi.json", () => json(description));
  app.get("*", (c) => (isApi(c) ? notFound(c) : (serveExplorer(parts.explorer, c) ?? notFound(c))));
  app.notFound(notFound);
  app.onError((error) => failure(error));
  return app;
}

const isApi = (c: Context) => /^\/(api|v1)(\/|$)/.test(c.req.path);

function notFound(c: Context): Response {
  return failure(
    new ServerError("NOT_FOUND", `there is no ${c.req.method} ${c.req.path}; see /api/openapi.json`),
  );
}

/** An error as people and programs read it. */
export function failure(error: unknown): Response {
  const { code, message, retryable, status } = describe(error);
  const problem: Problem = { error: { code, message, retryable } };
  return json(problem, status);
}

export function describe(error: unknown): Problem["error"] & { readonly status: number } {
  if (error instanceof ServerError) return error;
  if (error instanceof MoescopeError) {
    const { code, message, retryable } = error;
    return { code, message, retryable, status: STATUS[code] ?? 500 };
  }
  const { message } = error instanceof Error ? error : new Error(String(error));
  return { code: "FAILED", message: `unexpected error: ${message}`, retryable: false, status: 500 };
}

/** What the library refuses because of what was asked; everything else is a failure. */
const STATUS: Partial<Record<MoescopeError["code"], number>> = {
  INVALID_ARGUMENT: 400,
  UNKNOWN_STREAM: 400,
  UNKNOWN_LAYER: 400,
  CONTEXT_OVERFLOW: 400,
  CAPTURE_EXISTS: 409,
  CAPTURE_IN_USE: 409,
  CAPTURE_INVALID: 422,
  STORAGE_FAILED: 507,
  ENGINE_CLOSED: 503,
};
