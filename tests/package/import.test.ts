import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";

/** Every script that a process reads when it imports a module: V8 tells a debugger, whoever loaded it and how. */
const SCRIPTS = `
  import { Session } from "node:inspector";
  const session = new Session();
  session.connect();
  const urls = [];
  session.on("Debugger.scriptParsed", ({ params }) => urls.push(params.url));
  session.post("Debugger.enable");
  await import(process.argv[1]);
  console.log(JSON.stringify(urls));
`;

function packagesLoadedBy(module: string): string[] {
  const out = execFileSync(
    process.execPath,
    ["--input-type=module", "-e", SCRIPTS, join(packageRoot, module)],
    {
      encoding: "utf8",
    },
  );
  const urls: string[] = JSON.parse(out.trim().split("\n").at(-1)!);
  expect(urls.some((url) => url.includes("/dist/"))).toBe(true);
  const packages = urls.map((url) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1]);
  return [...new Set(packages.filter((name) => name !== undefined))].sort();
}

describe("importing", () => {
  test.each(["dist/index.js", "dist/analysis.js"])("%s loads none of the dependencies", (entry) => {
    expect(packagesLoadedBy(entry)).toEqual([]);
  });

  test("the command line loads its parser of options, and no more to print its help", () => {
    expect(packagesLoadedBy("dist/cli/main.js")).toEqual(["commander"]);
  });
});
