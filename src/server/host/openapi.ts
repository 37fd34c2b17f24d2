import { z } from "zod";
import { packageVersion } from "../../core/package-root.ts";
import { type Declaration, pathNames, type Told } from "./declaration.ts";
import { pending, problem } from "./schemas.ts";

/** The description of the API in OpenAPI 3.1, whose schemas are those zod writes. */
export function openApiDocument(specs: readonly Declaration[]): object {
  const schemas: Record<string, unknown> = {};
  const of = (schema: z.ZodType, io: "input" | "output") => inlined(schema, io, schemas);
  const paths: Record<string, Record<string, unknown>> = {};
  for (const spec of specs) {
    const { method, path, tag, summary, body } = spec;
    paths[path] ??= {};
    paths[path][method] = {
      operationId: `${method}${path.replaceAll(/[^A-Za-z0-9]+(.)?/g, (_, next = "") => next.toUpperCase())}`,
      tags: [tag],
      summary,
      parameters: parameters(spec, of),
      ...(body && {
        requestBody: { required: true, content: { "application/json": { schema: of(body, "input") } } },
      }),
      responses: {
        ...responses(spec.answer, of),
        ...(spec.slow && { 202: content("not done yet: ask again", of(pending, "output")) }),
        default: content("what went wrong", of(spec.problem ?? problem, "output")),
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

const content = (description: string, schema?: unknown, type = "application/json") => ({
  description,
  content: { [type]: schema === undefined ? {} : { schema } },
});

function responses(answer: Told, of: SchemaOf): Record<number, unknown> {
  const { description } = answer;
  if (answer.kind === "json")
    return { [answer.status ?? 200]: content(description, of(answer.schema(), "output")) };
  if (answer.kind === "events")
    return { 200: content(description, of(answer.schema(), "output"), "text/event-stream") };
  const type = "application/octet-stream";
  return {
    200: content(
      `${description}, little-endian; \`x-dtype\` and \`x-shape\` say what they are`,
      undefined,
      type,
    ),
    206: content("the bytes of the `Range` header; `x-shape` is that of the whole", undefined, type),
  };
}

function parameters({ asked, path }: Declaration, of: SchemaOf) {
  if (!asked) return [];
  const inPath = pathNames(path);
  const { properties = {}, required = [] } = of(asked, "input") as {
    properties?: Record<string, { description?: string }>;
    required?: string[];
  };
  const names = Object.keys(properties);
  const sorted = [...inPath, ...names.filter((name) => !inPath.includes(name))];
  return sorted.map((name) => {
    const { description, ...schema } = properties[name]!;
    const place = inPath.includes(name) ? "path" : "query";
    return {
      name,
      in: place,
      required: place === "path" || required.includes(name),
      ...(description && { description }),
      schema,
    };
  });
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
