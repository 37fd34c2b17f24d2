import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { inspectFile } from "../../src/engines/llama/model/gguf.ts";
import { embeddingFamilies } from "../fixtures/embedding-families.ts";
import { families, ggufOf } from "../fixtures/families.ts";
import { parse, write } from "./gguf-document.ts";
import { Loader } from "./loader.ts";
import { EDITS, find } from "./one-key-edits.ts";

const NAMES = [
  ...families.map(({ name }) => name),
  ...embeddingFamilies.map(({ name }) => `embeddings/${name}`),
];

const folder = mkdtempSync(join(tmpdir(), "moescope-edits-"));
const loader = new Loader("thread");
afterAll(() => {
  loader.stop();
  rmSync(folder, { recursive: true });
});

describe("one key of a good file", () => {
  it.each(Object.entries(EDITS))("%s, in every family", { timeout: 600_000 }, async (_, edit) => {
    const bad: string[] = [];
    for (const name of NAMES) {
      const document = parse(readFileSync(ggufOf(name)));
      const value = (key: string) => find(document, key)?.value;
      const architecture = String(value("general.architecture"));
      edit(document, architecture, Number(value(`${architecture}.block_count`)));
      const path = join(folder, "edited.gguf");
      writeFileSync(path, write(document, Number(value("general.alignment") ?? 32)));
      const refused = await inspectFile(path).then(
        () => false,
        () => true,
      );
      const { outcome, message } = refused ? { outcome: "refused" } : await loader.load(path);
      if (["CRASHED", "HUNG", "STOPPED", "UNTYPED"].includes(outcome))
        bad.push(`${name}: ${outcome} ${message}`);
    }
    expect(bad).toEqual([]);
  });
});
