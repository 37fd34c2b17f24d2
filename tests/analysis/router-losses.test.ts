import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import { measures } from "../../src/analysis/measures/registry.ts";
import { reducer } from "../../src/analysis/reducers/measure-reducer.ts";
import {
  formatProfile,
  mergeProfiles,
  parseProfile,
  profileReducer,
} from "../../src/analysis/reducers/profile.ts";
import type { Gating } from "../../src/core/gating.ts";
import { softmax } from "../../src/gating/softmax.ts";
import { families, Reference } from "../fixtures/families.ts";
import { captureOf, runOf, SOFTMAX } from "./synthetic.ts";

interface Losses {
  readonly whole: number;
  readonly layers: readonly number[];
}

/** What `fixtures/losses.py` had transformers compute. */
const expected = JSON.parse(readFileSync("fixtures/losses.json", "utf8")) as Readonly<
  Record<string, { readonly loadBalancing: Losses | null; readonly z: Losses }>
>;

const BOUND = 1e-5;
const NAMES = ["routerLosses", "modelLosses"] as const;

/** One after the other, layer after layer. */
function joined<A extends Float32Array | Uint16Array>(
  make: (length: number) => A,
  parts: ArrayLike<number>[],
): A {
  const all = make(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The reference's logits, experts and tokens as a capture of two texts. */
function referenceRun(name: string, gating: Gating | null = SOFTMAX) {
  const family = families.find((of) => of.name === name)!;
  const reference = new Reference(name);
  const rows = reference.tokens.length;
  const of = (stream: string) => family.moeLayers.map((layer) => reference.get(`${stream}.${layer}`));
  return {
    experts: family.experts,
    topK: family.topK,
    labels: ["a", "b"],
    lengths: [10, rows - 10],
    layers: family.moeLayers,
    gating,
    streams: {
      router_logits: joined((n) => new Float32Array(n), of("router_logits")),
      expert_ids: joined((n) => new Uint16Array(n), of("expert_ids")),
    },
  };
}

const differences = (actual: readonly number[], wanted: readonly number[]) =>
  actual.map((value, i) => Math.abs(value - wanted[i]!));

describe.each(Object.entries(expected))("router losses of %s", (name, { loadBalancing, z }) => {
  test("are those of transformers", async () => {
    const { layers, modelLosses } = await analyzeCapture(captureOf(referenceRun(name)), {
      measures: [...NAMES],
    });
    const found = layers.map(({ routerLosses }) => routerLosses!);
    expect(found).toHaveLength(z.layers.length);
    const worst = [
      ...differences(
        found.map(({ zLoss }) => zLoss),
        z.layers,
      ),
      Math.abs(modelLosses!.zLoss - z.whole),
      ...(loadBalancing
        ? [
            ...differences(
              found.map((of) => of.loadBalancing),
              loadBalancing.layers,
            ),
            Math.abs(modelLosses!.loadBalancing - loadBalancing.whole),
          ]
        : []),
    ];
    expect(Math.max(...worst)).toBeLessThan(BOUND);
  });
});

test("every family with routers has an expected value", () => {
  expect(Object.keys(expected)).toEqual(
    families.filter(({ moeLayers }) => moeLayers.length > 0).map(({ name }) => name),
  );
  expect(Object.values(expected).filter(({ loadBalancing }) => loadBalancing).length).toBeGreaterThan(20);
});

test("the mean probability is that of softmax, and adds up to 1", async () => {
  const run = referenceRun("mixtral");
  const { layers } = await analyzeCapture(captureOf(run), { measures: ["routerLosses"] });
  const rows = 25;
  const first = softmax({
    type: "float32",
    dims: [rows, run.experts],
    data: run.streams.router_logits.slice(0, rows * run.experts),
  }).data;
  layers[0]!.routerLosses!.meanProbability.forEach((mean, expert) => {
    let sum = 0;
    for (let row = 0; row < rows; row++) sum += first[row * run.experts + expert]!;
    expect(mean).toBeCloseTo(sum / rows, 6);
  });
  expect(layers[0]!.routerLosses!.meanProbability.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
});

describe("a gate that is no softmax", () => {
  const sigmoid: Gating = { ...SOFTMAX, score: "sigmoid", selectionBias: true };

  test("has the loss by its own scores and the experts it used beside transformers'", async () => {
    const run = referenceRun("minimax_m2", sigmoid);
    const { layers } = await analyzeCapture(captureOf(run), { measures: ["routerLosses"] });
    const found = layers[0]!.routerLosses!;
    // DeepSeek-V3 (arXiv:2412.19437), equations 17 to 20, times k, as f is not divided by it here.
    const rows = 25;
    const shares = new Array<number>(run.experts).fill(0);
    const used = new Array<number>(run.experts).fill(0);
    for (let row = 0; row < rows; row++) {
      const logits = run.streams.router_logits.subarray(row * run.experts, (row + 1) * run.experts);
      const scores = Array.from(logits, (x) => 1 / (1 + Math.exp(-x)));
      const sum = scores.reduce((a, b) => a + b);
      scores.forEach((score, e) => {
        shares[e]! += score / sum / rows;
      });
      for (let i = 0; i < run.topK; i++) used[run.streams.expert_ids[row * run.topK + i]!]! += 1 / rows;
    }
    const wanted = run.experts * shares.reduce((sum, share, e) => sum + share * used[e]!, 0);
    expect(found.own!.score).toBe("sigmoid");
    expect(found.own!.loadBalancing).toBeCloseTo(wanted, 5);
    expect(found.own!.meanScore.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
    expect(Math.abs(found.own!.loadBalancing - found.loadBalancing)).toBeGreaterThan(0.01);
  });

  test("has none where its experts are not known", async () => {
    const { streams, ...run } = referenceRun("minimax_m2", { ...sigmoid, selectionBias: false });
    const told = await analyzeCapture(
      captureOf({ ...run, streams: { router_logits: streams.router_logits } }),
      {
        measures: ["routerLosses"],
      },
    );
    expect(told.layers[0]!.routerLosses!.own).not.toBeNull();
    const plain = await analyzeCapture(captureOf(referenceRun("mixtral")), { measures: ["routerLosses"] });
    expect(plain.layers[0]!.routerLosses!.own).toBeNull();
  });
});

test("rows that are not finite are counted, and left out", async () => {
  const run = referenceRun("mixtral");
  run.streams.router_logits[3] = Number.NaN;
  const { layers } = await analyzeCapture(captureOf(run), { measures: ["routerLosses"] });
  const [first, second] = layers.map(({ routerLosses }) => routerLosses!);
  expect(first).toMatchObject({ rows: 24, notFinite: 1 });
  expect(second).toMatchObject({ rows: 25, notFinite: 0 });
  expect(Number.isFinite(first!.loadBalancing)).toBe(true);
});

test("logits far from each other, and impossible experts, are a softmax too", async () => {
  const data = Float32Array.from([-1e4, 0, 1e4, -Infinity, -Infinity, -1e30, -1e30, -1e30]);
  const capture = captureOf({
    experts: 4,
    topK: 1,
    labels: [null],
    lengths: [2],
    streams: { router_logits: data },
  });
  const { layers } = await analyzeCapture(capture, { measures: ["routerLosses"] });
  const found = layers[0]!.routerLosses!;
  expect(found.rows).toBe(2);
  [0, 1 / 6, 1 / 2 + 1 / 6, 1 / 6].forEach((mean, e) => {
    expect(found.meanProbability[e]).toBeCloseTo(mean, 12);
  });
});

test("as a reducer: in any order, in two parts, through JSON", async () => {
  const run = referenceRun("minimax_m2", { ...SOFTMAX, score: "sigmoid", selectionBias: true });
  const { header, batches } = runOf(run);
  const spec = reducer(measures.routerLosses);
  const parts = await Promise.all(
    batches.map(async (batch) => {
      const one = reducer(measures.routerLosses);
      await one.open(header);
      await one.write(batch);
      return one.fromJson(JSON.parse(JSON.stringify(one.toJson(await one.close({ finished: [] })))));
    }),
  );
  const merged = parts.reduce(spec.merge);
  const { layers } = await analyzeCapture(captureOf(run), { measures: ["routerLosses"] });
  for (const { layer, routerLosses } of layers) {
    const of = merged.layers.get(layer)!;
    expect(of.loadBalancing).toBeCloseTo(routerLosses!.loadBalancing, 12);
    expect(of.zLoss).toBeCloseTo(routerLosses!.zLoss, 12);
    expect(of.own!.loadBalancing).toBeCloseTo(routerLosses!.own!.loadBalancing, 12);
    expect(of.meanProbability).toHaveLength(run.experts);
  }
});

test("a profile has them; one of an older version has not, nor what it is merged into", async () => {
  const { header, batches } = runOf(referenceRun("mixtral"));
  const spec = profileReducer();
  await spec.open(header);
  for (const batch of batches) await spec.write(batch);
  const results = await spec.close({ finished: [] });
  const { model, engine } = header;
  const text = formatProfile({ model, engine, samples: 2, results });
  const profile = parseProfile(text, "new");
  const doubled = mergeProfiles(profile, profile).results.router!;
  expect(doubled.layers.get(0)!.loadBalancing).toBeCloseTo(expected.mixtral!.loadBalancing!.layers[0]!, 5);
  const { router: _, ...older } = JSON.parse(text).results;
  const old = parseProfile(JSON.stringify({ ...JSON.parse(text), results: older }), "old");
  expect(old.results.router).toBeNull();
  expect(mergeProfiles(profile, old).results.router).toBeNull();
  expect(parseProfile(formatProfile(old), "again").results.router).toBeNull();
});
