import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot, packageVersion } from "../../src/core/package-root.ts";

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "moescope-pack-"));
/** npm unpacks llama.cpp's libraries; a cold cache fetches them first. */
const MINUTES = 5 * 60_000;
let tarball: string;

beforeAll(async () => {
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: packageRoot });
  tarball = join(folder, readdirSync(folder).find((name) => name.endsWith(".tgz"))!);
}, MINUTES);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("what npm pack makes", () => {
  it("installs without a script and runs in an empty folder", { timeout: MINUTES }, async () => {
    const empty = mkdtempSync(join(folder, "empty-"));
    writeFileSync(
      join(empty, "package.json"),
      JSON.stringify({ name: "user", private: true, type: "module" }),
    );
    await run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", tarball], { cwd: empty });
    const cli = async (...args: string[]) =>
      (await run(join(empty, "node_modules", ".bin", "moescope"), args, { cwd: empty, maxBuffer: 1 << 26 }))
        .stdout;
    expect((await cli("--version")).trim()).toBe(packageVersion);
    const demo = JSON.parse(await cli("demo", "--json"));
    expect(demo).toMatchObject({ model: { architecture: "qwen3moe" } });
    const program = `import { load, hs } from "moescope";
      import { expertUsage } from "moescope/analysis";
      const llm = await load("node_modules/moescope/models/demo/demo-moe.gguf");
      const [logits] = await hs.getMoeRouterLogits(llm, ["import os"]);
      const { layers } = expertUsage(await llm.capture("import os"));
      console.log(JSON.stringify({ dims: [...logits.values()].map((t) => t.dims), used: [...layers.keys()] }));
      await llm.close();`;
    writeFileSync(join(empty, "program.js"), program);
    const { stdout } = await run(process.execPath, ["program.js"], { cwd: empty });
    const { dims, used } = JSON.parse(stdout) as { dims: number[][]; used: number[] };
    expect(dims.length).toBeGreaterThanOrEqual(6);
    expect(used).toHaveLength(dims.length);
    for (const [rows, experts] of dims) expect([rows! > 0, experts]).toEqual([true, 16]);
  });

  it("holds what it should and nothing else", async () => {
    const { stdout } = await run("tar", ["tzf", tarball]);
    const files = stdout
      .trimEnd()
      .split("\n")
      .map((path) => path.replace(/^package\//, ""));
    const wanted = [
      /^dist\/.*\.(js|cjs)$/,
      /^dist\/.*\.d\.ts$/,
      /^dist\/web\/[\w./-]+\.(html|js|css|svg|png|ico|webmanifest)$/,
      /^dist\/web\/licenses\.md$/,
      /^python\/(README\.md|pyproject\.toml)$/,
      /^python\/moescope_vllm\/[\w/]+\.py$/,
      /^python\/moescope_vllm-[\d.]+\.dist-info\/(METADATA|entry_points\.txt)$/,
      /^models\/demo\/(demo-moe\.gguf|prompts\.jsonl|DATASHEET\.md|README\.md)$/,
      /^(package\.json|README\.md|LICENSE|SECURITY\.md|THIRD-PARTY-NOTICES\.md)$/,
    ];
    expect(files.filter((file) => !wanted.some((pattern) => pattern.test(file)))).toEqual([]);
    for (const pattern of wanted) expect(files.filter((file) => pattern.test(file))).not.toEqual([]);
    expect(files).toContain("THIRD-PARTY-NOTICES.md");
    // No map is named that is not there.
    const code = files.filter((file) => /^dist\/.*\.(js|css|d\.ts)$/.test(file));
    const mapped = code.filter((file) =>
      /^\/[/*]# sourceMappingURL=/m.test(readFileSync(join(packageRoot, file), "utf8")),
    );
    expect(mapped).toEqual([]);
  });

  it("pleases publint", async () => {
    const { messages } = await publint({ pkgDir: packageRoot, strict: true });
    expect(messages).toEqual([]);
  });

  it("has types that resolve for ES modules", async () => {
    const result = await checkPackage(createPackageFromTarballData(new Uint8Array(readFileSync(tarball))));
    // The package is ES modules only: what concerns require() is known and wanted.
    const problems = "problems" in result ? result.problems : [{ kind: "no types" }];
    expect(
      problems
        .map(({ kind }) => kind)
        .filter((kind) => kind !== "CJSResolvesToESM" && kind !== "NoResolution"),
    ).toEqual([]);
  });
});
