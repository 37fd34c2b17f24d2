import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";
import * as hs from "../../src/hs.ts";

const page = readFileSync(join(packageRoot, "docs", "easysteer.md"), "utf8");
/** Rows of the page's tables without their heads. */
const rows = page
  .split("\n")
  .filter((line) => line.startsWith("| ") && !/^\| (EasySteer|what|-+) /.test(line))
  .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim()));

describe("docs/easysteer.md", () => {
  test.each(rows.map((cells) => [cells[1]!, cells.at(-2)!]))("%s is tested where it says", (_, cell) => {
    const [, file, name] = /^`([^`]+)`: (.+)$/.exec(cell)!;
    expect(readFileSync(join(packageRoot, "tests", file!), "utf8")).toContain(`"${name}`);
  });

  test("names all functions and classes, and no others", () => {
    const named = new Set([...page.matchAll(/hs\.(\w+)/g)].map(([, name]) => name));
    named.delete("test");
    expect([...named].sort()).toEqual(
      Object.keys(hs)
        .filter((name) => name !== "CaptureResult")
        .sort(),
    );
  });
});
