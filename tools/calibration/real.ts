import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { testLabels } from "../../src/analysis/statistics/randomization/label-test.ts";
import { correctedTogether } from "../../src/analysis/statistics/randomization/max-t.ts";
import { seededRandom, shuffle } from "../../src/analysis/statistics/randomization/random.ts";
import { load } from "../../src/run/load.ts";
import { type LabelCondition, LENGTHS, type Level } from "./labels.ts";
import { type Text, unitsOfTexts } from "./texts.ts";

/** Chosen experts of real texts, by layer and text `[rows, topK]`. */
export interface RealRouting {
  readonly experts: number;
  readonly topK: number;
  readonly layers: readonly (readonly Uint16Array[])[];
}

const CHARACTERS = 400;
/** What the longest condition takes of a text. */
const ROWS = 64;

/**
 * One domain: pieces of this project's source, each from another file, run through the demo model.
 *
 * @param most texts to take.
 */
export async function realRouting(root: string, most = Number.POSITIVE_INFINITY): Promise<RealRouting> {
  const folder = join(root, "src");
  const pieces = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .sort()
    .map((name) => readFileSync(join(folder, name), "utf8").slice(-2 * CHARACTERS, -CHARACTERS))
    .filter(({ length }) => length === CHARACTERS)
    .slice(0, most);
  await using llm = await load(join(root, "models/demo/demo-moe.gguf"), { gpu: false });
  const capture = await llm.capture(
    pieces.map((prompt) => ({ prompt })),
    { streams: ["expert_ids"] },
  );
  const { experts, topK, layers } = llm.info.moe!;
  const starts = pieces.map((_, sample) => capture.rows.sample.indexOf(sample));
  const long = starts.filter((start, i) => (starts[i + 1] ?? capture.rows.length) - start >= ROWS);
  return {
    experts,
    topK,
    layers: layers.map((layer) =>
      long.map((start) =>
        Uint16Array.from(
          capture.stream("expert_ids").rows(layer, start, start + ROWS).data as ArrayLike<number>,
        ),
      ),
    ),
  };
}

/** How often the test finds what is not there, with labels given to real texts by chance. */
export function realLevelOf(
  { experts, topK, layers }: RealRouting,
  { lengths, texts }: Pick<LabelCondition, "lengths" | "texts">,
  runs: number,
  permutations: number,
  seed: number,
): Omit<Level, "decides"> {
  const random = seededRandom(seed);
  const order = Int32Array.from(layers[0]!.keys());
  const labels = texts.flatMap((n, label) => new Array<number>(n).fill(label));
  let [shares, tests, layer, any] = [0, 0, 0, 0];
  for (let run = 0; run < runs; run++) {
    shuffle(order, random);
    const rows = labels.map((label) => Math.min(ROWS, LENGTHS[lengths]!(label, random)));
    const found = layers.map((of) => {
      const made = labels.map(
        (label, i): Text => ({ label, ids: of[order[i]!]!.subarray(0, rows[i]! * topK) }),
      );
      return testLabels(
        unitsOfTexts(made, texts.length, experts, topK).matched,
        texts.length,
        experts,
        permutations,
        run,
      );
    });
    for (const test of found) {
      for (const p of test.shares.pValues) shares += +(p <= 0.05);
      tests += test.shares.pValues.length;
      layer += +(test.layer.pValues[0]! <= 0.05) / layers.length;
    }
    any += +correctedTogether(found.map((test) => test.shares)).some((q) => q.some((value) => value <= 0.05));
  }
  return { shares: shares / tests, layer: layer / runs, any: any / runs };
}
