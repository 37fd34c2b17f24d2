import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { packageRoot } from "../src/core/package-root.ts";
import { architecturesPage, known } from "./fixtures/architectures-page.ts";
import { families } from "./fixtures/families.ts";
import { readNotKnown, readResults } from "./fixtures/results.ts";

describe("docs/architectures.md", () => {
  it("is what the recorded results say; written anew with vitest -u", async () => {
    const page = join(packageRoot, "docs", "architectures.md");
    await expect(architecturesPage()).toMatchFileSnapshot(page);
  });
});

describe("recorded results", () => {
  it("are of families that there are, in every stream they have", () => {
    const results = readResults("llama.cpp");
    const recorded = new Set(results.map(({ architecture, family }) => `${architecture} ${family}`));
    expect([...recorded].sort()).toEqual(
      families.map(({ architecture, name }) => `${architecture} ${name}`).sort(),
    );
  });

  it("are of architectures that the engine has", () => {
    for (const { architecture } of readResults("vllm"))
      expect(known.vllm.architectures).toHaveProperty([architecture]);
  });

  it.each(["llama.cpp", "vllm"] as const)("of %s leave nothing open that was compared", (engine) => {
    const compared = new Set(readResults(engine).map(({ architecture }) => architecture));
    for (const { architecture } of readNotKnown(engine)) {
      expect(known[engine].architectures).toHaveProperty([architecture]);
      expect(compared.has(architecture), `${architecture} is compared`).toBe(false);
    }
  });
});
