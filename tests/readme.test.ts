import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { packageRoot } from "../src/core/package-root.ts";

/**
 * Every TypeScript example of the README runs as it stands, as a user would run it: from the package's folder, with
 * the built package under its own name. What it must print is here. Those that need a GPU or a server are compiled only.
 */
const readme = readFileSync(join(packageRoot, "README.md"), "utf8");
const examples = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code!);

const EXPECTED: readonly [first: string, output: RegExp][] = [
  ['llm.capture(["import numpy', /^[\s\S]+\n$/],
  ['streams: ["attention"', /^\[ (\d+), \d+, \1 \]\n\[ \1, 2, \d+ \]\n\[ \1, \d+ \]\n$/],
  ["llm.stream(", /^(prompt +"[^\n]*" +\d+ \d+\n)+(generated +"[^\n]*" +\d+ \d+\n)+$/],
  [
    'getMoeRouterLogits(llm, ["Hello',
    /^Captured (\d+) MoE layers:\n(\s+Layer +\d+: +\d+ tokens × 16 experts, dtype float32, device cpu\n)+2 samples; layer 0: \[ \d+, 16 \]\n$/,
  ],
  ["promptPositions", /^\[ 2, \d+ \] 1\n$/],
  ["getMoeRouterLogitsGenerate", /^".*" \[ \d+, 16 \]\n$/],
  ["normalize: true });\nfor", /^(layer \d: CV \d\.\d\d, expert 0 serves \d\.\d\d\n){6,}$/],
  ["getAllHiddenStates", /^sample 1, layer 2: \[ \d+, \d+ \] router, both samples: \[ \d+, 16 \]\n$/],
  [
    "splitBySamples",
    /^most mathematical: \{ expert: \d+, difference: 0\.\d+ \} most code: \{ expert: \d+, difference: -0\.\d+ \}\n$/,
  ],
  ['task: "embed"', /^\[ \d+, 16 \] \d+ \{ pooling: 'last', normalize: true \}\n$/],
  [
    "expertUsage(capture)",
    /^(layer \d: CV \d\.\d\d, entropy [0-2]\.\d\d nats\n){6,}0 experts are specialized for sure: four texts are few\n$/,
  ],
  ["hs.softmax", /^(layer \d: entropy [0-2]\.\d\d of 2\.77 nats, unused: [\d ]*\n){6,}$/],
];

/** What takes a GPU or a server; tests/vllm/real does the same with what there is. */
const COMPILED_ONLY = ['engine: "vllm"', '"http://localhost:8000"'];

const folder = join(packageRoot, ".cache", "readme");

describe("the README's examples", () => {
  it("are strict TypeScript", async () => {
    const typed = join(folder, "typed");
    mkdirSync(typed, { recursive: true });
    // The package's own name resolves from inside it, through its `exports`, as it does for a user.
    const checks = { strict: true, noUncheckedIndexedAccess: true, noEmit: true, skipLibCheck: true };
    const modern = {
      target: "es2023",
      lib: ["es2023", "esnext.disposable", "dom"],
      module: "nodenext",
      types: [],
    };
    const config = { compilerOptions: { ...checks, ...modern }, include: ["*.mts"] };
    writeFileSync(join(typed, "tsconfig.json"), JSON.stringify(config));
    examples.forEach((code, i) => {
      writeFileSync(join(typed, `example-${i}.mts`), code);
    });
    const tsc = join(packageRoot, "node_modules", "typescript", "bin", "tsc");
    const { stdout } = await promisify(execFile)(process.execPath, [tsc, "-p", typed]).catch(
      (error) => error,
    );
    expect(stdout).toBe("");
  });

  it("are all here", () => {
    expect(examples).toHaveLength(EXPECTED.length + COMPILED_ONLY.length);
    for (const first of COMPILED_ONLY)
      expect(examples.filter((example) => example.includes(first))).toHaveLength(1);
  });

  it.each(EXPECTED)("%s", async (first, output) => {
    const code = examples.filter((example) => example.includes(first));
    expect(code).toHaveLength(1);
    mkdirSync(folder, { recursive: true });
    const file = join(folder, `${first.replace(/\W+/g, "-")}.mjs`);
    writeFileSync(file, code[0]!);
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [file], { cwd: packageRoot });
    expect(stderr).toBe("");
    expect(stdout).toMatch(output);
  });
});
