import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { MoescopeError } from "../../src/core/errors.ts";
import { inspectFile } from "../../src/engines/llama/model/gguf.ts";
import { ggufOf } from "../fixtures/families.ts";
import { Loader } from "./loader.ts";
import { KINDS, mutateStructure } from "./structured-mutations.ts";

/** Different in what their headers say, their tokenizers and their graphs. */
const FAMILIES =
  "mixtral deepseek_v3 qwen3_next gpt_oss lfm2_moe llama4 deepseek_v2_group granitemoe glm4_moe dbrx qwen3_moe olmoe jamba gemma4_moe mimo_v2_flash minimax_m2 ernie4_5_moe hunyuan_moe embeddings/nomic_bert_moe embeddings/gemma_embedding embeddings/t5 embeddings/xlm_roberta embeddings/bert embeddings/modern_bert".split(
    " ",
  );
/** `npm run fuzz` sets more, from another seed on if so wanted. */
const MUTANTS = Number(process.env.MOESCOPE_FUZZ ?? 300);
const FIRST = Number(process.env.MOESCOPE_FUZZ_SEED ?? 0);
/** `thread`: a crash ends the process that loads, and shows what the checks of a file do not catch. */
const ISOLATE = process.env.MOESCOPE_FUZZ_ISOLATE ?? "process";

const folder = mkdtempSync(join(tmpdir(), "moescope-structure-"));
const loaders = [new Loader(ISOLATE), new Loader(ISOLATE)];
afterAll(() => {
  for (const loader of loaders) loader.stop();
  rmSync(folder, { recursive: true });
});

it(`${MUTANTS} files with another structure: each runs or is refused with a code`, {
  timeout: 3_600_000,
}, async () => {
  const goods = FAMILIES.map((family) => readFileSync(ggufOf(family)));
  /** By kind, by outcome. */
  const counts = new Map<string, Map<string, number>>(KINDS.map((kind) => [kind, new Map()]));
  const bad: string[] = [];
  const contained: string[] = [];
  const seeds = Array.from({ length: MUTANTS }, (_, i) => FIRST + i).values();
  const work = async (loader: Loader, index: number) => {
    for (const seed of seeds) {
      // Families and kinds meet in all pairs.
      const family = (seed + Math.floor(seed / KINDS.length)) % FAMILIES.length;
      const { kind, bytes } = mutateStructure(goods[family]!, seed);
      const path = join(folder, `${index}.gguf`);
      writeFileSync(path, bytes);
      const refused = await inspectFile(path).then(
        () => null,
        (error) => error,
      );
      if (refused && !(refused instanceof MoescopeError)) throw refused;
      const { outcome, message } = refused ? { outcome: "refused unloaded" } : await loader.load(path);
      const byOutcome = counts.get(kind.split(" + ")[0]!)!;
      byOutcome.set(outcome, (byOutcome.get(outcome) ?? 0) + 1);
      const said = `seed ${seed} of ${FAMILIES[family]} (${kind}): ${outcome} ${message ?? ""}`;
      if (["CRASHED", "HUNG", "UNTYPED"].includes(outcome)) bad.push(said);
      // Nothing of these reaches the host, and each is worth a check.
      if (["ENGINE_CRASHED", "STOPPED"].includes(outcome)) contained.push(said);
    }
  };
  await Promise.all(loaders.map(work));
  if (process.env.MOESCOPE_FUZZ) console.log(table(counts), contained.join("\n"), bad.join("\n"));
  expect(bad).toEqual([]);
  const all = (outcome: string) => [...counts.values()].reduce((sum, of) => sum + (of.get(outcome) ?? 0), 0);
  // The mutations are worth something: llama.cpp sees many of them, and runs some.
  expect(all("loaded")).toBeGreaterThan(MUTANTS / 20);
  expect(all("refused unloaded")).toBeGreaterThan(MUTANTS / 20);
});

function table(counts: ReadonlyMap<string, ReadonlyMap<string, number>>): string {
  const outcomes = [...new Set([...counts.values()].flatMap((of) => [...of.keys()]))].sort();
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
  const sums = outcomes.map((outcome) =>
    [...counts.values()].reduce((sum, of) => sum + (of.get(outcome) ?? 0), 0),
  );
  return [
    line(["kind", ...outcomes]),
    line(["---", ...outcomes.map(() => "---:")]),
    ...[...counts].map(([kind, of]) => line([kind, ...outcomes.map((outcome) => of.get(outcome) ?? 0)])),
    line(["all", ...sums]),
  ].join("\n");
}
