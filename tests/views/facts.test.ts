import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { expertCache } from "../../src/advice/expert-cache.ts";
import { pruneCandidates } from "../../src/advice/prune-candidates.ts";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import { compareCaptures } from "../../src/analysis/compare/compare-captures.ts";
import { compareLabels } from "../../src/analysis/compare/compare-labels.ts";
import { expertAtlas } from "../../src/analysis/expert-atlas.ts";
import { expertSimilarity } from "../../src/analysis/expert-similarity.ts";
import { expertUsage } from "../../src/analysis/expert-usage.ts";
import { allMeasures, measures } from "../../src/analysis/measures/registry.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import { packageRoot } from "../../src/core/package-root.ts";
import {
  analysisFacts,
  analysisOverview,
  layerFacts,
  overviewFacts,
} from "../../src/views/facts/analysis.ts";
import { analysisSummary, summaryFacts } from "../../src/views/facts/analysis-summary.ts";
import { atlasFacts } from "../../src/views/facts/atlas.ts";
import { captureFacts, captureFactsOf } from "../../src/views/facts/capture.ts";
import { comparisonFacts, comparisonOf } from "../../src/views/facts/comparison.ts";
import { labelComparisonFacts, labelComparisonOf } from "../../src/views/facts/label-comparison.ts";
import { otherResults } from "../../src/views/facts/other-results.ts";
import { placementFacts, placementOf } from "../../src/views/facts/placement.ts";
import { pruneFacts, pruneFactsOf } from "../../src/views/facts/prune-candidates.ts";
import { similarityFacts, similarityOf } from "../../src/views/facts/similarity.ts";
import { balanceFacts, balancesOf, usageFacts, usageOf } from "../../src/views/facts/usage.ts";
import { allWords, wordsFacts } from "../../src/views/facts/words.ts";
import { drive, type SyntheticOptions, syntheticRun } from "../store/synthetic.ts";

const captured = (options?: SyntheticOptions) =>
  drive(syntheticRun({ lengths: [9, 8, 0, 12, 7, 10, 9, 11, 6, 10], ...options }), new MemorySink());

/** What comes out of JSON is what went in, and what the schema says, to the last key. */
function checked(schema: { parse(value: unknown): unknown }, facts: unknown) {
  const read = JSON.parse(JSON.stringify(facts));
  expect(read).toEqual(facts);
  schema.parse(read);
}

describe("facts are what their schemas say, before JSON and behind it", () => {
  test.each([
    ["everything", {}],
    ["logits only", { streams: ["router_logits"] }],
    ["ids only", { streams: ["expert_ids"] }],
    ["no rows", { lengths: [0] }],
    ["one sample", { lengths: [5], streams: ["router_logits"] }],
    ["a dense model", { moeLayers: [] }],
    ["more experts than a matrix shows", { experts: 140 }],
    ["more experts than a byte tells", { experts: 300 }],
  ] as [string, SyntheticOptions][])("of an analysis of %s", async (_, options) => {
    const analysis = await analyzeCapture(await captured(options), { permutations: 19 });
    checked(analysisFacts(), analysis);
    checked(overviewFacts(), analysisOverview(analysis));
    checked(summaryFacts(), analysisSummary(analysis));
    for (const layer of analysis.layers) checked(layerFacts(), layer);
    if (analysis.layers.length > 0) checked(atlasFacts(), expertAtlas(analysis));
  });

  test("of captures, usage and balance", async () => {
    for (const options of [
      {},
      { lengths: [0] },
      { moeLayers: [] },
      { streams: ["hidden_states"] as const },
    ]) {
      const capture = await captured(options);
      for (const samples of [true, false]) checked(captureFacts(), captureFactsOf(capture, { samples }));
      if (!capture.streams.includes("expert_ids")) continue;
      for (const byLabel of [true, false]) checked(usageFacts(), usageOf(expertUsage(capture), { byLabel }));
      checked(balanceFacts(), balancesOf(expertUsage(capture)));
    }
  });

  test("of comparisons, candidates, similarity and a placement", async () => {
    const capture = await captured({ streams: ["expert_ids", "expert_weights", "router_logits"] });
    const ids = await captured({ streams: ["expert_ids"] });
    for (const [a, b] of [
      [capture, capture],
      [ids, ids],
    ] as const)
      for (const tokens of [true, false])
        checked(
          comparisonFacts(),
          comparisonOf(a, b, compareCaptures(a, b, { permutations: 9 }), { tokens }),
        );
    const labels = compareLabels(capture, "label 0", "label 1", { permutations: 9 });
    checked(labelComparisonFacts(), labelComparisonOf(capture, labels));
    checked(pruneFacts(), pruneFactsOf(capture, pruneCandidates(capture)));
    checked(similarityFacts(), similarityOf(expertSimilarity(capture, 1, 0)));
    const part = { onGpu: [1], bytes: 5, choiceShare: 0.5, trafficShare: 0.5, arguments: ["-ngl", "9"] };
    checked(
      placementFacts(),
      placementOf(
        {
          model: capture.model,
          contextSize: 4096,
          budget: { vram: 9, weights: 1, cache: 1, compute: 1, experts: 6 },
          gpuLayers: null,
          lastLayers: part,
          bestFit: null,
          sameSize: true,
          rows: 0,
          singleExperts: Number.NaN,
          expertBytes: [{ layer: 1, bytes: 5 }],
          cacheSlots: 3,
        },
        expertCache(capture, 3, [{ layer: 1, bytes: 5 }]),
      ),
    );
  });
});

describe("the registry", () => {
  test("names each measure as its export is named, and each term once", () => {
    for (const [name, measure] of Object.entries(measures)) expect(measure.name).toBe(name);
    const terms = allMeasures.flatMap(({ words }) => Object.keys(words.terms));
    expect(terms).toEqual([...new Set(terms)]);
    checked(wordsFacts(), allWords());
  });

  test("has each measure's words as sentences", () => {
    for (const { words } of allMeasures) {
      expect(words.text).toMatch(/^[A-Z].*\.$/);
      expect(words.uncertainty).not.toBe("");
      for (const { text } of Object.values(words.terms)) expect(text).toMatch(/^[A-Z].*\.$/);
    }
  });

  test("has every word that the explorer explains", () => {
    const { terms } = allWords();
    const folder = join(packageRoot, "web", "src");
    const used = readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".tsx"))
      .flatMap((name) => [...readFileSync(join(folder, name), "utf8").matchAll(/<Term name="(\w+)"/g)])
      .map(([, name]) => name!);
    expect(used.length).toBeGreaterThan(30);
    expect([...new Set(used)].filter((name) => !(name in terms))).toEqual([]);
  });
});

test("a measure that no view shows is a table of its figures", async () => {
  const analysis = await analyzeCapture(await captured({}), { permutations: 9 });
  const shown = new Set(allMeasures.map(({ name }) => name as keyof typeof measures));
  expect(otherResults(analysis, shown)).toEqual([]);
  shown.delete("balance");
  shown.delete("texts");
  const [balance, texts] = otherResults(analysis, shown);
  expect(balance).toMatchObject({
    title: "Load balance",
    by: "layer",
    columns: ["cv", "maxVio", "entropy"],
    // By label it has more.
    more: true,
  });
  expect(balance!.rows.map(({ name }) => name)).toEqual(["1", "3"]);
  expect(Number(balance!.rows[0]!.figures[0])).toBeCloseTo(analysis.layers[0]!.balance!.cv, 3);
  expect(texts).toMatchObject({ by: null, columns: [], more: true });
});
