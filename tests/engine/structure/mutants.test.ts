import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Graph } from "../../../src/engines/llama/graph/graph.ts";
import type { GraphTaps } from "../../../src/engines/llama/graph/graph-taps.ts";
import { ggufOf } from "../../fixtures/families.ts";
import { STREAMS_BY_NAME, tapsByName, valuesOf } from "./by-name.ts";
import { type LookedAt, lookAt } from "./look.ts";
import { MUTATION_NAMES, mutant, seeded } from "./mutants.ts";

/** Of different makes: groups and biases, softmax last, weights first, shared experts with a gate, recurrent layers. */
const FAMILIES = [
  ...["deepseek_v3", "gpt_oss", "llama4", "qwen2_moe", "qwen3_next", "lfm2_moe", "qwen3_moe"],
  ...["arctic", "granitemoe", "hunyuan_moe"],
];
/** With MOESCOPE_MUTANTS=1500 for a minute or two: 105,000 mutants. */
const MUTANTS_A_KIND = Number(process.env.MOESCOPE_MUTANTS ?? 60);

/** What is proven in a graph, by stream and layer. */
function proven(taps: GraphTaps): Map<string, string> {
  const found = new Map<string, string>();
  for (const stream of STREAMS_BY_NAME)
    for (const [layer, proof] of taps.of(stream))
      if ("proven" in proof) found.set(`${stream} ${layer}`, valuesOf(taps.graph, proof.proven.node.index));
  return found;
}

/** Streams and layers that are taken from another tensor than they should be. */
const wrong = (taken: ReadonlyMap<string, string>, right: ReadonlyMap<string, string>) =>
  [...taken].filter(([key, address]) => right.get(key) !== address).map(([key]) => key);

describe.each(FAMILIES)("%s", (family) => {
  let looked: LookedAt;
  let graph: Graph;
  /** Of the graph as it is, by llama.cpp's names: for fixtures they are right, as the values equal Hugging Face's. */
  let right: Map<string, string>;
  /** Mutants in which llama.cpp's names lead to another tensor. */
  let fooled = 0;
  beforeAll(async () => {
    looked = await lookAt(ggufOf(family));
    graph = looked.tapsOf(looked.native).graph;
    right = tapsByName(graph);
  });
  afterAll(() => looked.close());

  it("as it is: all that names tell is proven, and nothing else", () => {
    expect(proven(looked.tapsOf(looked.native))).toEqual(right);
  });

  it.each(MUTATION_NAMES)("%s: refused, or still the right tensors", (kind) => {
    const random = seeded(1 + MUTATION_NAMES.indexOf(kind));
    let made = 0;
    for (let tries = 0; made < MUTANTS_A_KIND && tries < 50 * MUTANTS_A_KIND; tries++) {
      const changed = mutant(kind, graph, looked.native, random);
      if (!changed) continue;
      made++;
      const taps = looked.tapsOf(changed.native);
      expect(wrong(proven(taps), right), changed.what).toEqual([]);
      if (wrong(tapsByName(taps.graph), right).length > 0) fooled++;
    }
    expect(made).toBe(MUTANTS_A_KIND);
  });

  it("who trusts names is fooled by some of each hundred", () => {
    expect(fooled).toBeGreaterThan((MUTATION_NAMES.length * MUTANTS_A_KIND) / 100);
  });
});
