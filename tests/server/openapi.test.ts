import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import type { Hono } from "hono";
import { describe, expect, it } from "vitest";
import type { Step } from "../../src/core/engine.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { type AppParts, apiRoutes, createApp } from "../../src/server/host/app.ts";
import type { CaptureList } from "../../src/server/questions/captures.ts";
import { captureInto, type Serving, serving } from "./serving.ts";
import { StepwiseEngine } from "./stepwise-engine.ts";
import { strictly } from "./strictly.ts";

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
    const models = [new StepwiseEngine(), new EmbeddingEngine()].map((engine) => LanguageModel.of(engine));
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
      const { method, path, answer: told } = spec;
      if (told.kind !== "json" || path === "/api/jobs/{id}") continue;
      const query = path === "/api/compare" ? `?a=${a}&b=${b}` : "";
      const response = await answer(
        server,
        method,
        path.replaceAll(/\{(\w+)\}/g, (_, name) => values[name]!) + query,
        bodies[path],
      );
      expect([path, response.status]).toEqual([path, told.status ?? 200]);
      expect([path, strictly(told.schema(), await response.json())]).toEqual([path, null]);
      checked++;
    }
    expect(checked).toBeGreaterThan(15);
    const { answer: job } = apiRoutes({} as AppParts).find(
      ({ spec }) => spec.path === "/api/jobs/{id}",
    )!.spec;
    if (job.kind !== "json") throw new Error("a job is JSON");
    expect(strictly(job.schema(), await server.json(`/api/jobs/${jobs[0]!.id}`))).toBeNull();
  });

  it("has the schema of every answer in it, and of no other", async () => {
    const { json } = await serving();
    const { paths } = await json<Document>("/api/openapi.json");
    for (const { spec } of apiRoutes({} as AppParts)) {
      const told = paths[spec.path]![spec.method]!.responses as Record<string, { content: object }>;
      const status = spec.answer.kind === "json" ? (spec.answer.status ?? 200) : 200;
      const types = {
        json: "application/json",
        events: "text/event-stream",
        values: "application/octet-stream",
      };
      const [[type, content]] = Object.entries(told[status]!.content) as [[string, { schema?: object }]];
      expect([spec.path, type]).toEqual([spec.path, types[spec.answer.kind]]);
      if (spec.answer.kind !== "values") expect(JSON.stringify(content.schema).length).toBeGreaterThan(25);
    }
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
