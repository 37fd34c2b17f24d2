import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import { MoescopeError } from "../../src/core/errors.ts";
import { inspectFile } from "../../src/engines/llama/model/gguf.ts";
import { ggufOf } from "../fixtures/families.ts";
import { mutate, sitesOf } from "./gguf-mutations.ts";
import { Loader } from "./loader.ts";

/** Different in what their headers say: groups, latent attention, recurrent layers, sinks, biases, lists by layer. */
const FAMILIES = [
  "mixtral",
  "deepseek_v3",
  "qwen3_next",
  "gpt_oss",
  "lfm2_moe",
  "llama4",
  "deepseek_v2_group",
  "granitemoe",
  "glm4_moe",
  "dbrx",
  // Attention that goes both ways: no cache, windows and layers behind the pooling, an encoder with a decoder.
  "embeddings/nomic_bert_moe",
  "embeddings/gemma_embedding",
  "embeddings/t5",
];
const MUTANTS = 500;
const TRUNCATIONS = 200;
/** Reading a header may hold this much at most, in bytes: its 50 MB, twice, and what it says. */
const MEMORY_CAP = 300e6;

const folder = mkdtempSync(join(tmpdir(), "moescope-hostile-"));
/** In a thread, where a crash would be one: nothing here is left to the isolation. */
const loaders = [new Loader("thread"), new Loader("thread")];
afterAll(() => {
  for (const loader of loaders) loader.stop();
  rmSync(folder, { recursive: true });
});

const goods = FAMILIES.map((family) => readFileSync(ggufOf(family)));

/** Run each file to the end of its luck: `moescope inspect` in this process, then a capture in another. */
async function outcomes(files: readonly { readonly name: string; readonly bytes: () => Buffer }[]) {
  const counts: Record<string, number> = {};
  const bad: string[] = [];
  const queue = files.values();
  const work = async (loader: Loader, index: number) => {
    for (const { name, bytes } of queue) {
      const path = join(folder, `${index}.gguf`);
      writeFileSync(path, bytes());
      const refused = await inspectFile(path).then(
        () => null,
        (error) => error,
      );
      if (refused && !(refused instanceof MoescopeError)) throw refused;
      const { outcome, message } = refused ? { outcome: "refused unloaded" } : await loader.load(path);
      counts[outcome] = (counts[outcome] ?? 0) + 1;
      if (["CRASHED", "HUNG", "STOPPED", "UNTYPED"].includes(outcome))
        bad.push(`${name}: ${outcome} ${message ?? ""}`);
    }
  };
  await Promise.all(loaders.map(work));
  expect(bad).toEqual([]);
  return counts;
}

describe("hostile GGUF files", () => {
  it(`${MUTANTS} damaged headers: each runs or is refused with a code`, { timeout: 300_000 }, async () => {
    const mutants = Array.from({ length: MUTANTS }, (_, seed) => ({
      name: `seed ${seed} of ${FAMILIES[seed % FAMILIES.length]}`,
      bytes: () => mutate(goods[seed % goods.length]!, seed),
    }));
    const counts = await outcomes(mutants);
    // The mutations are worth something: llama.cpp sees many of them, and runs some.
    expect(counts.loaded).toBeGreaterThan(10);
    expect(counts["refused unloaded"]).toBeGreaterThan(100);
  });

  it(`${TRUNCATIONS} cut files are all refused`, { timeout: 300_000 }, async () => {
    const random = seededRandom(1);
    const cuts = Array.from({ length: TRUNCATIONS }, (_, i) => {
      const good = goods[i % goods.length]!;
      // Every other one within the header.
      const size = Math.floor(random() * (i % 2 === 0 ? sitesOf(good).end : good.length));
      return { name: `${FAMILIES[i % FAMILIES.length]} at ${size}`, bytes: () => good.subarray(0, size) };
    });
    expect(await outcomes(cuts)).toEqual({ "refused unloaded": TRUNCATIONS });
  });

  it("counts and lengths without end allocate nothing and end soon", async () => {
    const good = goods[0]!;
    const { sites } = sitesOf(good);
    const frames = sites.filter(({ kind, bytes }) => kind === "frame" && bytes === 8);
    const before = process.memoryUsage().rss;
    const started = performance.now();
    let tried = 0;
    for (const value of [10n ** 18n, 2n ** 63n, 2n ** 32n, 999_999n])
      for (const { at } of frames.slice(0, 30)) {
        const file = Buffer.from(good);
        file.writeBigUInt64LE(value, at);
        const path = join(folder, "endless.gguf");
        writeFileSync(path, file);
        await expect(inspectFile(path), `${value} at ${at}`).rejects.toMatchObject({
          code: "MODEL_INVALID",
        });
        tried++;
      }
    expect(tried).toBe(120);
    expect((performance.now() - started) / tried).toBeLessThan(500);
    expect(process.memoryUsage().rss - before).toBeLessThan(MEMORY_CAP);
  });
});
