import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { secureHeaders } from "hono/secure-headers";
import { MoescopeError } from "../core/errors.ts";
import type { Prompt } from "../run/prompts/prompt-object.ts";
import type { CaptureLibrary } from "./capture-library.ts";
import { type Explorer, serveExplorer } from "./explorer.ts";
import { type Access, guard } from "./guard.ts";
import type { Jobs } from "./jobs.ts";
import type { Models } from "./models.ts";
import { openApiDocument } from "./openapi.ts";
import { failure, withHeadersOf } from "./problem.ts";
import { json } from "./respond.ts";
import { mount, type Route } from "./route.ts";
import { analysisRoutes } from "./routes/analysis.ts";
import { captureRoutes } from "./routes/captures.ts";
import { embeddingRoutes } from "./routes/embeddings.ts";
import { jobRoutes } from "./routes/jobs.ts";
import { openaiProblem, openaiRoutes } from "./routes/openai.ts";
import { ServerError } from "./server-error.ts";

/** Prompts for a corpus fit in it; what is larger is for the command line. */
const MAX_BODY = 16 << 20;

export interface AppParts {
  readonly access: Access;
  readonly library: CaptureLibrary;
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
    ...captureRoutes(library),
    ...analysisRoutes(library),
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
  app.onError((error, c) => {
    if (!(error instanceof ServerError || error instanceof MoescopeError)) parts.onUnexpected?.(error);
    if (!c.req.path.startsWith("/v1/")) return failure(error);
    const { body, status } = openaiProblem(error);
    return withHeadersOf(error, json(body, status));
  });
  return app;
}

const isApi = (c: Context) => /^\/(api|v1)(\/|$)/.test(c.req.path);

function notFound(c: Context): Response {
  return failure(
    new ServerError("NOT_FOUND", `there is no ${c.req.method} ${c.req.path}; see /api/openapi.json`),
  );
}
