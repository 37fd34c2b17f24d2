import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  JinjaError,
  TemplateRefusal,
  TemplateRuntimeError,
  TemplateSyntaxError,
  UnsupportedConstruct,
} from "../../src/run/prompts/jinja/errors.ts";
import { parseJson } from "../../src/run/prompts/jinja/library/parse-json.ts";
import { Template } from "../../src/run/prompts/jinja/template.ts";

/** What transformers renders: `reference.py`. */
const read = (name: string) => readFileSync(join(import.meta.dirname, name), "utf8");
const NOW = () => new Date(2026, 2, 7, 9, 5, 2);

interface Constructs {
  readonly variables: Record<string, unknown>;
  readonly cases: readonly { readonly template: string; readonly text: string | null }[];
}

/** What this Jinja says it does not have. @returns `null` where Python's Jinja fails as well. */
function render(template: string, variables: Record<string, unknown>): string | null | UnsupportedConstruct {
  try {
    return new Template(template).render(variables, NOW);
  } catch (error) {
    if (error instanceof UnsupportedConstruct) return error;
    if (error instanceof JinjaError) return null;
    throw error;
  }
}

describe("constructs render as in transformers", () => {
  const { variables, cases } = parseJson(read("constructs.json")) as Constructs;

  test(`${cases.length} of them, or it is said what is lacking`, () => {
    const lacking = new Set<string>();
    for (const { template, text } of cases) {
      const got = render(template, variables);
      if (got instanceof UnsupportedConstruct) lacking.add(template);
      else expect(got, template).toBe(text);
    }
    // Ranges that are cut or asked for attributes, methods that nobody needs, escaped text: all of it rare.
    expect(lacking.size).toBeLessThan(cases.length / 50);
  });
});

interface Shape {
  readonly name: string;
  readonly messages: readonly object[];
  readonly tools?: readonly object[] | "tools";
  readonly documents?: readonly object[];
  readonly kwargs?: Record<string, unknown>;
  readonly add_generation_prompt?: boolean;
  readonly continue_final_message?: boolean;
}

/** Folders of templates that are not kept here, as llama.cpp's `models/templates`: `MOESCOPE_TEST_TEMPLATES=a:b`. */
const ELSEWHERE = (process.env.MOESCOPE_TEST_TEMPLATES ?? "").split(":").filter((folder) => folder !== "");
const FILES = [join(import.meta.dirname, "templates"), ...ELSEWHERE].flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".jinja"))
    .map((name) => join(folder, name)),
);

describe("stock templates render every shape of chat as in transformers", () => {
  const { tools, shapes } = parseJson(read("shapes.json")) as { tools: readonly object[]; shapes: Shape[] };
  const known = JSON.parse(read("renderings.json")) as Record<string, { texts: (string | null)[] }>;
  const digest = (text: string | null) =>
    text === null ? null : createHash("sha256").update(text).digest("hex").slice(0, 12);

  test.each(FILES.map((file) => [basename(file), file]))("%s", (_, file) => {
    const source = readFileSync(file, "utf8");
    const { texts } = known[createHash("sha256").update(source).digest("hex").slice(0, 16)]!;
    for (const [i, shape] of shapes.entries()) {
      // That is not the template's: see tests/prompts.
      if (shape.continue_final_message) continue;
      const got = render(source, {
        bos_token: "<s>",
        eos_token: "</s>",
        unk_token: "<unk>",
        pad_token: "<pad>",
        messages: shape.messages,
        tools: (shape.tools === "tools" ? tools : shape.tools) ?? null,
        documents: shape.documents ?? null,
        add_generation_prompt: shape.add_generation_prompt ?? true,
        ...shape.kwargs,
      });
      if (got instanceof UnsupportedConstruct) throw got;
      expect(digest(got), `${shape.name}: ${got}`).toBe(texts[i]);
    }
  });

  test("of each there are chats that it takes, and of most that it refuses", () => {
    const takes = Object.values(known).map(({ texts }) => texts.filter((text) => text !== null).length);
    expect(takes.filter((count) => count > 10).length).toBeGreaterThan(takes.length * 0.9);
    expect(new Set(Object.values(known).flatMap(({ texts }) => texts)).size).toBeGreaterThan(1500);
  });
});

describe("what went wrong", () => {
  const failure = (template: string, variables = {}) => {
    try {
      new Template(template).render(variables);
    } catch (error) {
      return error as JinjaError;
    }
    throw new Error(`${template} renders`);
  };

  test.each([
    ["the template said no", "a\n{{ raise_exception('roles must alternate') }}", TemplateRefusal, 2],
    ["it is no Jinja", "\n\n{% if x %}", TemplateSyntaxError, 3],
    ["a tag of nobody's", "{% frobnicate %}", TemplateSyntaxError, 1],
    ["a name that is not there", "\n{{ x.y }}", TemplateRuntimeError, 2],
    ["text plus a list", "{{ 'a' + [] }}", TemplateRuntimeError, 1],
    ["a changed list", "{% set _ = x.append(1) %}", TemplateRuntimeError, 1],
    ["another template", "{% include 'x' %}", TemplateRuntimeError, 1],
    ["a filter of Jinja's that is not here", "\n{{ 'a'|random }}", UnsupportedConstruct, 2],
    ["escaping", "{% autoescape true %}{% endautoescape %}", UnsupportedConstruct, 1],
    ["a macro without end", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", TemplateRuntimeError, null],
  ] as const)("%s", (_, template, kind, line) => {
    const error = failure(template, template.includes("append") ? { x: [] } : {});
    expect(error).toBeInstanceOf(kind);
    expect(error.line).toBe(line);
  });

  test("values that no JSON has", () => {
    expect(failure("{{ x }}", { x: () => 1 })).toBeInstanceOf(JinjaError);
  });
});

test("numbers of JSON stay what Python reads them as", () => {
  const text = '{"a": 1.0, "b": [1e3, -2], "c": 12345678901234567890, "d": "1.0", "e": 0.5}';
  expect(new Template("{{ x|tojson }}").render({ x: parseJson(text) })).toBe(
    '{"a": 1.0, "b": [1000.0, -2], "c": 12345678901234567890, "d": "1.0", "e": 0.5}',
  );
  expect(() => parseJson("{1.0}")).toThrow(SyntaxError);
});
