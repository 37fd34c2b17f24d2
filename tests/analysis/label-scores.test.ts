import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import type { ScoreTable } from "../../src/analysis/measures/label-scores.ts";
import { resampledDifferences, stabilities } from "../../src/analysis/statistics/stability.ts";
import { error } from "./reference.ts";
import { captureOf } from "./synthetic.ts";

type Table = { readonly values: number[][]; readonly halfWidths: number[][] };

/** What `label-scores.py` wrote; see there. */
const reference = JSON.parse(readFileSync(new URL("label-scores.json", import.meta.url), "utf8")) as {
  readonly experts: number;
  readonly topK: number;
  readonly labels: string[];
  readonly lengths: number[];
  readonly ids: number[];
  readonly weights: number[];
  readonly riskDifference: Table;
  readonly npmi: Table;
  readonly esftToken: Table;
  readonly esftGate: Table;
  readonly esftExperts: number[][];
  readonly front: number[][];
};

const run = {
  experts: reference.experts,
  topK: reference.topK,
  labels: reference.labels,
  lengths: reference.lengths,
  streams: {
    expert_ids: Uint16Array.from(reference.ids),
    expert_weights: Float32Array.from(reference.weights),
  },
};
const MEASURES = { measures: ["labelScores", "scoredExperts"] as const };

describe("scores of the literature", async () => {
  const { layers, scoredExperts } = await analyzeCapture(captureOf(run), {
    measures: ["labelScores", "scoredExperts"],
  });
  const found = layers[0]!.labelScores!;

  test.each(["riskDifference", "npmi", "esftToken", "esftGate"] as const)(
    "%s is numpy's, with its interval",
    (name) => {
      const { values, halfWidths } = found[name] as ScoreTable;
      expect(error(values.flat(), reference[name].values.flat())).toBeLessThan(1e-6);
      const undefinedAt = values.flat().map((value) => name === "npmi" && value === -1);
      expect(halfWidths.flat().map((half) => half === null)).toEqual(undefinedAt);
      const defined = <T>(all: readonly T[]) => all.filter((_, i) => !undefinedAt[i]);
      expect(
        error(defined(halfWidths.flat()) as number[], defined(reference[name].halfWidths.flat())),
      ).toBeLessThan(1e-6);
    },
  );

  test("ESFT trains the experts that reach a fifth of the token score", () => {
    expect(found.esftExperts).toEqual(reference.esftExperts);
  });

  test("an expert that a label never uses has the nPMI -1", () => {
    expect(found.npmi!.values[0]![7]).toBe(-1);
  });

  test("lists are by the amount of the risk difference", () => {
    const amounts = scoredExperts.map(({ riskDifference }) => Math.abs(riskDifference));
    expect(amounts).toEqual([...amounts].sort((a, b) => b - a));
    expect(scoredExperts).toHaveLength(3 * reference.experts);
    const [first] = scoredExperts;
    const l = found.labels.indexOf(first!.label);
    expect(first!.riskDifference).toBe(found.riskDifference!.values[l]![first!.expert]);
    expect(first!.stability).toBe(found.stability![l]![first!.expert]);
  });
});

test("how often experts are in front is what numpy's resamples give", () => {
  const groupOf = Int32Array.from(reference.labels, (label) => ["a", "b", "c"].indexOf(label));
  const counts = new Float64Array(reference.lengths.length * reference.experts);
  let at = 0;
  reference.lengths.forEach((length, text) => {
    for (let i = 0; i < length * reference.topK; i++)
      counts[text * reference.experts + reference.ids[at++]!]!++;
  });
  const rows = Float64Array.from(reference.lengths);
  const runs = 20;
  const mean = new Float64Array(reference.front.flat().length);
  for (let seed = 1; seed <= runs; seed++) {
    const resampled = resampledDifferences(counts, rows, groupOf, 3, reference.experts, seed);
    const [stable] = stabilities([resampled], 3, 2);
    stable!.forEach((value, i) => {
      mean[i]! += value / runs;
    });
  }
  // 2000 and 4000 resamples: standard errors of at most 0.011 and 0.008.
  reference.front.flat().forEach((wanted, i) => {
    expect(Math.abs(mean[i]! - wanted)).toBeLessThan(0.06);
  });
});

test("an expert that one label alone uses is stable, in all layers together", async () => {
  const lengths = new Array<number>(12).fill(10);
  const labels = lengths.map((_, i) => (i % 2 === 0 ? "x" : "y"));
  const layers = [2, 5];
  const ids = layers.flatMap((layer) =>
    lengths.flatMap((_, text) =>
      Array.from({ length: 10 }, (_, row) =>
        layer === 5 && text % 2 === 0 && row < 8 ? 9 : (row + text) % 8,
      ),
    ),
  );
  const capture = captureOf({
    experts: 10,
    topK: 1,
    labels,
    lengths,
    layers,
    streams: { expert_ids: Uint16Array.from(ids) },
  });
  const { layers: found, scoredExperts } = await analyzeCapture(capture, {
    measures: [...MEASURES.measures],
  });
  const first = scoredExperts.find(({ label }) => label === "x");
  expect(first).toMatchObject({
    layer: 5,
    expert: 9,
    label: "x",
    riskDifference: 0.8,
    stability: 1,
  });
  expect(first!.npmi).toBeGreaterThan(0.4);
  expect(found[1]!.labelScores!.stability![1]![9]).toBe(0);
  expect(found[0]!.labelScores!.esftGate).toBeNull();
});

test("without labels ESFT's scores are of all texts; one text has no interval", async () => {
  const capture = captureOf({ ...run, labels: reference.labels.map(() => null) });
  const { layers, scoredExperts } = await analyzeCapture(capture, { measures: [...MEASURES.measures] });
  const found = layers[0]!.labelScores!;
  expect(found).toMatchObject({
    labels: [null],
    texts: [12],
    riskDifference: null,
    npmi: null,
    stability: null,
  });
  expect(found.esftToken.values[0]!.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
  expect(scoredExperts).toEqual([]);
  const one = captureOf({
    experts: 4,
    topK: 1,
    labels: ["a", "b"],
    lengths: [3, 3],
    streams: { expert_ids: Uint16Array.from([0, 1, 2, 1, 2, 3]) },
  });
  const single = await analyzeCapture(one, { measures: [...MEASURES.measures] });
  const [scores] = single.layers;
  expect(scores!.labelScores!.riskDifference!.halfWidths.flat()).toEqual(new Array(8).fill(null));
  expect(scores!.labelScores!.esftToken.halfWidths.flat()).toEqual(new Array(8).fill(null));
});
