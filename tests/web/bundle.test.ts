import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";

const web = join(packageRoot, "dist", "web");
const files = readdirSync(web, { recursive: true, encoding: "utf8" });

/** Bytes that go over the wire, with gzip. */
const LIMIT = 200_000;

test("all JavaScript together stays small", () => {
  const scripts = files.filter((file) => file.endsWith(".js"));
  expect(scripts.length).toBeGreaterThan(0);
  const bytes = scripts.reduce((sum, file) => sum + gzipSync(readFileSync(join(web, file))).length, 0);
  expect(bytes).toBeLessThan(LIMIT);
});

test("the page is one that a strict content security policy allows", () => {
  const page = readFileSync(join(web, "index.html"), "utf8");
  expect(page).not.toMatch(/<script(?![^>]*\bsrc=)/);
  expect(page).not.toMatch(/<style|\sstyle=|\son\w+=/);
  // Everything comes from the server itself: the explorer works without a network.
  expect(page).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
});

test("licences of what is bundled are named", () => {
  // Preact and its signals are MIT: their notice must travel with the code.
  expect(files).toContain("licenses.md");
  const text = readFileSync(join(web, "licenses.md"), "utf8");
  for (const name of ["preact", "@preact/signals"]) expect(text).toContain(name);
});
