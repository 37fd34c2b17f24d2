import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";

/**
 * Arguments lie on the stack: `Math.max(...values)` and `list.push(...items)` fail from about 100,000 on. `largest`,
 * `smallest` and `append` of `core/extremes.ts` take any number. What is spread here is bounded, and why.
 */
const BOUNDED: readonly (readonly [file: string, call: string, why: string])[] = [
  ["src/analysis/compare/compare-layer.ts", "layerChunk", "the two ends of a span"],
  ["src/engines/llama/model/tokenizer-kind.ts", "String.fromCharCode", "two digits"],
  ["src/hs/analyze-expert-usage.ts", "sliceRows", "the two ends of a range"],
  ["src/run/prompts/jinja/evaluate.ts", "callValue", "what argumentsOf returns: two lists"],
  ["src/run/prompts/jinja/evaluate.ts", "findFilter(node.name)", "what argumentsOf returns: two lists"],
  ["src/run/prompts/jinja/evaluate.ts", "findTest(node.name)", "a template's; too many are its error"],
  ["src/run/prompts/jinja/library/higher-filters.ts", "test", "a template's; too many are its error"],
  ["src/run/prompts/jinja/library/string-methods.ts", "method", "a template's; too many are its error"],
  ["src/cli/options/load-flags.ts", "Object.assign", "the flags of the engines"],
  ["src/views/facts/words.ts", "Object.assign", "the measures of the registry"],
  ["src/views/html/parts/html.ts", "String.raw", "the values of a template literal"],
  ["web/src/views/atlas.tsx", "context.moveTo", "x and y"],
  ["web/src/views/atlas.tsx", "context.lineTo", "x and y"],
];

/** Calls with an argument that is spread, as file and callee. */
function spreads(file: string): string[] {
  const text = readFileSync(join(packageRoot, file), "utf8");
  if (!text.includes("...")) return [];
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    const isCall = ts.isCallExpression(node) || ts.isNewExpression(node);
    if (isCall && node.arguments?.some(ts.isSpreadElement))
      found.push(`${file} ${node.expression.getText()}`);
    if (ts.isPropertyAccessExpression(node) && node.name.text === "apply" && ts.isCallExpression(node.parent))
      found.push(`${file} ${node.getText()}`);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true));
  return found;
}

test("data of any length is not spread into arguments", () => {
  const files = ["src", "web/src"].flatMap((folder) =>
    readdirSync(join(packageRoot, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => /\.tsx?$/.test(name))
      .map((name) => `${folder}/${name.replaceAll("\\", "/")}`),
  );
  const found = new Set(files.flatMap(spreads));
  expect([...found].sort()).toEqual(BOUNDED.map(([file, call]) => `${file} ${call}`).sort());
});
