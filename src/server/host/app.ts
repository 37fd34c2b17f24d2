import { type Context, Hono } from "hono";
import { secureHeaders } from "hono/secure-headers";
import { MoescopeError } from "../../core/errors.ts";
import type { Prompt } from "../../run/prompts/prompt-object.ts";
import type { CaptureLibrary } from "../captures/capture-library.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { Models } from "../jobs/models.ts";
import { jobRoutes } from "../jobs/routes.ts";
import { embeddingRoutes } from "../openai/embeddings.ts";
import { openaiProblem, openaiRoutes } from "../openai/routes.ts";
import { questions } from "../questions/index.ts";
import type { Question } from "../questions/question.ts";
import { questionRoutes } from "../questions/routes.ts";
import { type Explorer, serveExplorer } from "./explorer.ts";
import { type Access, guard } from "./guard.ts";
import { JsonBodies } from "./json-body.ts";
import { openApiDocument } from "./openapi.ts";
import { failure, isCancelled, withHeadersOf } from "./problem.ts";
import { json } from "./respond.ts";
import { mount, type Route } from "./route.ts";
import { ServerError } from "./server-error.ts";

export interface AppParts {
  readonly access: Access;
  readonly library: CaptureLibrary;
  /** Default: all there are. The library's worker must know them too. */
  readonly questions?: readonly Question[];
  readonly explorer: Explorer;
  readonly jobs: Jobs;
  readonly models: Models;
  readonly capturesInto: string | null;
  readonly demoPrompts: () => Promise<Prompt[]>;
  /** Told of errors that nobody foresaw: the client learns only their message. */
  readonly onUnexpected?: (error: unknown) => void;
}

/** All routes of the API: what serves them, and what describes them. */
export function apiRoutes(parts: AppParts): Route[] {
  const { library } = parts;
  return [
    ...questionRoutes(parts.questions ?? questions, library),
    ...jobRoutes(parts),
    ...openaiRoutes(parts),
    ...embeddingRoutes(parts),
  ];
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
  const routes = apiRoutes(parts);
  mount(app, routes, new JsonBodies());
  const description = openApiDocument(routes.map(({ spec }) => spec));
  app.get("/api/openapi.json", () => json(description));
  app.get("*", (c) => (isApi(c) ? notFound(c) : (serveExplorer(parts.explorer, c) ?? notFound(c))));
  app.notFound(notFound);
  app.onError((error, c) => {
    if (!isForeseen(error, c)) parts.onUnexpected?.(error);
    if (!c.req.path.startsWith("/v1/")) return failure(error);
    const { body, status, headers } = openaiProblem(error);
    const response = json(body, status);
    for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
    return withHeadersOf(error, response);
  });
  return app;
}

/** What goes wrong because the client has gone is nobody's concern any more. */
const isForeseen = (error: unknown, c: Context) =>
  error instanceof ServerError ||
  error instanceof MoescopeError ||
  isCancelled(error) ||
  c.req.raw.signal.aborted;

const isApi = (c: Context) => /^\/(api|v1)(\/|$)/.test(c.req.path);

function notFound(c: Context): Response {
  return failure(
    new ServerError("NOT_FOUND", `there is no ${c.req.method} ${c.req.path}; see /api/openapi.json`),
  );
}
