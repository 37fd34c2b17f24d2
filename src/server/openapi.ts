import { z } from "zod";
import { packageVersion } from "../core/package-root.ts";
import { problem } from "./api/values.ts";
import type { ResponseSpec, RouteSpec } from "./route.ts";

/** The description of the API in OpenAPI 3.1, whose schemas are those zod writes. */
export function openApiDocument(specs: readonly RouteSpec[]): object {
  const schemas: Record<string, unknown> = {};
  const of = (schema: z.ZodType, io: "input" | "output") => inlined(schema, io, schemas);
  const paths: Record<string, Record<string, unknown>> = {};
  for (const spec of specs) {
    const { method, path, tag, summary, params, query, body, responses } = spec;
    paths[path] ??= {};
    paths[path][method] = {
      operationId: `${method}${path.replaceAll(/[^A-Za-z0-9]+(.)?/g, (_, next = "") => next.toUpperCase())}`,
      tags: [tag],
      summary,
      parameters: [...parameters(params, "path", of), ...parameters(query, "query", of)],
      ...(body && {
        requestBody: { required: true, content: { "application/json": { schema: of(body, "input") } } },
      }),
      responses: {
        ...Object.fromEntries(Object.entries(responses).map(([status, one]) => [status, response(one, of)])),
        default: response({ description: "what went wrong", schema: spec.problem ?? problem }, of),
      },
    };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "moescope",
      version: packageVersion,
      description:
        "Captures of mixture-of-experts models, and models that run. Binary answers are little-endian.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    security: [{}, { token: [] }],
    paths,
    components: {
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "needed where the server was given a token" },
      },
      schemas,
    },
  };
}

type SchemaOf = (schema: z.ZodType, io: "input" | "output") => unknown;

function response({ description, schema, type }: ResponseSpec, of: SchemaOf) {
  if (!schema && !type) return { description };
  const body = schema ? { schema: of(schema, "output") } : {};
  return { description, content: { [type ?? "application/json"]: body } };
}

function parameters(schema: z.ZodType | undefined, place: "path" | "query", of: SchemaOf) {
  if (!schema) return [];
  const { properties = {}, required = [] } = of(schema, "input") as {
    properties?: Record<string, { description?: string }>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: place,
    required: place === "path" || required.includes(name),
    ...(description && { description }),
    schema: rest,
  }));
}

/** A schema as JSON Schema; those with an id move to the components and are referred to. */
function inlined(schema: z.ZodType, io: "input" | "output", components: Record<string, unknown>): unknown {
  const {
    $schema: _,
    $defs = {},
    ...rest
  } = z.toJSONSchema(schema, {
    io,
    target: "draft-2020-12",
    unrepresentable: "any",
  }) as Record<string, unknown> & { $defs?: Record<string, unknown> };
  const fix = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value).replaceAll('"#/$defs/', '"#/components/schemas/'));
  for (const [name, definition] of Object.entries($defs)) components[name] ??= withoutId(fix(definition));
  const id = rest.id as string | undefined;
  if (id === undefined) return fix(rest);
  components[id] ??= withoutId(fix(rest));
  return { $ref: `#/components/schemas/${id}` };
}

function withoutId(schema: unknown): unknown {
  const { id: _, ...rest } = schema as { id?: string };
  return rest;
}
