import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import type { Hono } from "hono";
import { describe, expect, it } from "vitest";
import type { z } from "zod";
import type { Step } from "../../src/core/engine.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import type { CaptureList } from "../../src/server/api/captures.ts";
import { type AppParts, apiRoutes, createApp } from "../../src/server/app.ts";
import { captureInto, type Serving, serving } from "./serving.ts";
import { StepwiseEngine } from "./stepwise-engine.ts";

interface Document {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, { operationId: string; responses: object }>>;
  readonly components: { readonly schemas: Record<string, object> };
}

describe("the description of the API", () => {
  it("is valid OpenAPI whose references lead somewhere", async () => {
    const { json } = await serving();
    const document = await json<Document>("/api/openapi.json");
    const { valid, errors } = await new Validator().validate(structuredClone(document) as never);
    expect([valid, errors]).toEqual([true, undefined]);
    expect(document.openapi).toBe("3.1.0");
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)];
    expect(references.length).toBeGreaterThan(10);
    for (const [, name] of references) expect(Object.keys(document.components.schemas)).toContain(name);
    const ids = Object.values(document.paths).flatMap((path) =>
      Object.values(path).map(({ operationId }) => operationId),
    );
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("covers every route the server has, and no other", async () => {
    const { json } = await serving();
    const { paths } = await json<Document>("/api/openapi.json");
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const parts = { access: { host: "127.0.0.1", token: null, names: [] } } as unknown as AppParts;
    const app: Hono = createApp(parts);
    // Middleware and the explorer's files answer everything; the description itself is no part of itself.
    const routes = app.routes
      .filter(({ path }) => !path.includes("*") && path !== "/api/openapi.json")
      .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`);
    expect([...new Set(routes)].sort()).toEqual(described.sort());
    expect(routes.length).toBeGreaterThan(20);
  });

  it("says what the answers are", async () => {
    const models = [new StepwiseEngine(), new EmbeddingEngine()].map((engine) => new LanguageModel(engine));
    const server = await serving({ models: new Map(models.map((llm) => [llm.task, llm])) });
    await captureInto(join(server.folder, "a"));
    await captureInto(join(server.folder, "b"));
    const { captures } = await server.json<CaptureList>("/api/captures");
    const [a, b] = captures.map(({ id }) => id);
    await server.post("/v1/completions", { prompt: "a", max_tokens: 1 });
    const { jobs } = await server.json<{ jobs: { id: string }[] }>("/api/jobs");
    const bodies: Record<string, object> = {
      "/v1/completions": { prompt: "a", max_tokens: 2 },
      "/v1/embeddings": { input: "a" },
      "/v1/chat/completions": { messages: [{ role: "user", content: "a" }], max_tokens: 2 },
      "/api/captures": { prompts: [{ prompt: "a" }] },
    };
    const values: Record<string, string> = {
      id: a!,
      layer: "1",
      expert: "2",
      row: "3",
      level: "0",
      tile: "0",
      a: a!,
      b: b!,
    };
    let checked = 0;
    for (const { spec } of apiRoutes({} as AppParts)) {
      const { method, path, responses } = spec;
      const status = method === "get" || path.startsWith("/v1/") ? 200 : 202;
      const schema = responses[status]?.schema;
      if (!schema || responses[status]?.type || path === "/api/jobs/{id}" || method === "delete") continue;
      const query = path === "/api/compare" ? `?a=${a}&b=${b}` : "";
      const response = await answer(
        server,
        method,
        path.replaceAll(/\{(\w+)\}/g, (_, name) => values[name]!) + query,
        bodies[path],
      );
      expect([path, response.status]).toEqual([path, status]);
      expect([path, strictly(schema, await response.json())]).toEqual([path, null]);
      checked++;
    }
    expect(checked).toBeGreaterThan(15);
    const job = apiRoutes({} as AppParts).find(({ spec }) => spec.path === "/api/jobs/{id}")!.spec;
    expect(strictly(job.responses[200]!.schema!, await server.json(`/api/jobs/${jobs[0]!.id}`))).toBeNull();
  });
});

/** Gives each prompt's length for an embedding. */
class EmbeddingEngine extends StepwiseEngine {
  readonly task = "embed";
  readonly embedding = { pooling: "mean", normalize: false } as const;

  override async *run(...args: Parameters<StepwiseEngine["run"]>): AsyncGenerator<Step> {
    for await (const step of super.run(...args)) {
      const finished = step.finished.map((end) => ({
        ...end,
        embedding: Float32Array.of(args[0][end.sample]!.tokens.length),
      }));
      yield { ...step, finished };
    }
  }
}

async function answer(
  { get, post }: Serving,
  method: string,
  path: string,
  body?: object,
): Promise<Response> {
  for (;;) {
    const response = method === "get" ? await get(path) : await post(path, body);
    // An analysis that is not done yet.
    if (method !== "get" || response.status !== 202) return response;
  }
}

/** What is wrong with a value, or `null`; a field that no schema names is wrong as well. */
function strictly(schema: z.ZodType, value: unknown): string | null {
  const parsed = schema.safeParse(value);
  if (!parsed.success) return parsed.error.message;
  // Zod leaves out what it does not know.
  return JSON.stringify(sorted(parsed.data)) === JSON.stringify(sorted(value))
    ? null
    : "it has unknown fields";
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([x], [y]) => (x < y ? -1 : 1))
      .map(([key, of]) => [key, sorted(of)]),
  );
}
