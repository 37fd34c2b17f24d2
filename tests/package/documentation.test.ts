import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";
import { ExportedApi } from "./exported-api.ts";

const MINUTES = 5 * 60_000;
const api = new ExportedApi(["src/index.ts", "src/analysis.ts"]);

/** What an example need not make itself; docs/api.md says so too. */
const GIVEN = `
declare const llm: import("moescope").LanguageModel;
declare const capture: import("moescope").Capture;
declare const prompts: import("moescope").Prompt[];
`;

describe("everything that is exported", () => {
  test("is described", () => {
    const silent = api.exports.filter(({ symbol }) => api.docsOf(symbol).text.trim() === "");
    expect(silent.map(({ name }) => name)).toEqual([]);
  });

  test("is shown in use, where it can be called", () => {
    const callable = api.exports.filter(({ symbol }) => api.isCallable(symbol));
    expect(callable.length).toBeGreaterThan(50);
    const without = callable.filter(({ symbol }) => !api.docsOf(symbol).tags.has("example"));
    expect(without.map(({ name }) => name)).toEqual([]);
  });
});

test("every example is a program that compiles against the package", { timeout: MINUTES }, () => {
  const folder = join(packageRoot, ".cache", "examples");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const files = api
    .examples()
    // A file that imports and exports nothing would not be a module.
    .map(({ name, code }, i) => write(`${name}-${i}.mts`, `${code}\nexport {};\n`));
  expect(files.length).toBeGreaterThan(50);
  const program = ts.createProgram([write("given.d.ts", GIVEN), ...files], {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2023,
    lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts"],
    module: ts.ModuleKind.NodeNext,
    types: ["node"],
  });
  const said = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
    return `${file?.fileName.replace(`${folder}/`, "")}:${line} ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
  });
  expect(said).toEqual([]);
});
