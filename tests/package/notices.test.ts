import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";
import { holdersIn, notices } from "../../tools/notices.mjs";

const written = readFileSync(join(packageRoot, "THIRD-PARTY-NOTICES.md"), "utf8");

test("the notices name what npm installs and the texts of others, as they are now", () => {
  // After a change: node tools/notices.mjs, then the formatter, which widens tables.
  const plain = (text: string) => text.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---");
  expect(plain(written)).toBe(plain(notices()));
});

test("each chat template is named, with the holders that it names itself", () => {
  const folder = join(packageRoot, "tests", "jinja", "templates");
  const files = readdirSync(folder).filter((file) => file.endsWith(".jinja"));
  expect(files.length).toBeGreaterThan(5);
  const holders = files.flatMap((file) => holdersIn(readFileSync(join(folder, file), "utf8")));
  expect(holders).toContain("Copyright 2025-present the Unsloth team. All rights reserved.");
  for (const named of [...files, ...holders]) expect(written).toContain(named);
});
