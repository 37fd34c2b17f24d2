import { mkdtempSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import type { CaptureAnalysis, LayerAnalysis } from "../../src/analysis/capture-analysis.ts";
import type { Capture } from "../../src/capture/capture.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { error, flat, reference } from "./reference.ts";
import { captureOf, folderOf } from "./synthetic.ts";

const ref = reference.analysis;
const LAYERS = [1, 2];
/** Even tokens are numbers, odd ones words. */
const tokenText = (id: number) => (id % 2 === 0 ? `${id}` : ` ${"abcdefghi"[id]}`);
const given = {
  experts: ref.experts,
  topK: ref.topK,
  labels: ref.labels,
  lengths: ref.lengths,
  promptTokens: ref.promptTokens,
  phases: ref.phases,
  tokenIds: ref.tokenIds,
  tokenText,
  layers: LAYERS,
  streams: {
    router_logits: Float32Array.from(ref.logits.flatMap(flat)),
    hidden_states: Float32Array.from(ref.hidden.flatMap(flat)),
  },
};
const capture = captureOf(given);
const options = { permutations: 199 };
const numbers = (values: readonly (number | null)[]) => values.map((value) => value ?? Number.NaN);
const nulls = (matrix: Parameters<typeof flat>[0]) => flat(matrix);

describe("analyzeCapture against numpy, scipy and scikit-learn", () => {
  let found: CaptureAnalysis;
  beforeAll(async () => {
    found = await analyzeCapture(capture, options);
  });
  const layers = () => found.layers.map((layer, i) => [layer, i] as [LayerAnalysis, number]);

  test("co-activation and its clusters", () => {
    for (const [{ coactivation }, i] of layers()) {
      const { lift, tests, clusters, silhouette } = ref.company[i]!;
      // Shown to three digits.
      expect(error(numbers(coactivation!.lift!.flat()), nulls(lift))).toBeLessThan(0.006);
      expect(coactivation).toMatchObject({ texts: 12, textsNeeded: 10, testedPairs: tests.length });
      const pairs = [...coactivation!.together, ...coactivation!.apart];
      const listed = tests.filter(([, , , , , q]) => q <= 0.05);
      expect(pairs.map(({ a, b }) => `${a} ${b}`).sort()).toEqual(listed.map(([a, b]) => `${a} ${b}`).sort());
      for (const { a, b, lift: of, expected, interval, qValue } of pairs) {
        const [, , , low, high, q] = listed.find((test) => test[0] === a && test[1] === b)!;
        expect(expected).toBeCloseTo(Number(ref.company[i]!.expected[a]![b]), 8);
        expect(of).toBeCloseTo(Number(lift[a]![b]), 9);
        expect(error([...interval, qValue], [low, high, q])).toBeLessThan(1e-8);
      }
      expect(coactivation!.clusters).toEqual(clusters);
      expect(coactivation!.silhouette).toBeCloseTo(silhouette, 9);
      expect([...coactivation!.order].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    }
    expect(found.layers.some(({ coactivation }) => coactivation!.together.length > 0)).toBe(true);
    // Expert 3 of the first layer is dead: it shares no token, and stands at the end of the map.
    expect(found.layers[0]!.coactivation!.order.at(-1)).toBe(3);
    expect(found.layers[0]!.usage.experts[3]).toMatchObject({
      state: "dead",
      count: 0,
      // Fewer than 30 texts do not suffice to say so of others.
      significant: false,
    });
  });

  test("drift along the position and from the prompt to what was generated", () => {
    for (const [{ positions, phases }, i] of layers())
      for (const [drift, expected] of [
        [positions!, ref.positions[i]!],
        [phases!, ref.phaseGroups[i]!],
      ] as const) {
        expect(drift.groups.map(({ rows }) => rows)).toEqual(expected.rows);
        expect(drift.groups.map(({ counts }) => counts)).toEqual(expected.counts);
        const divergences = drift.groups.map(({ divergence }) => divergence);
        expect(error(divergences, expected.divergence)).toBeLessThan(1e-12);
        expect(drift.mutualInformation).toBeCloseTo(expected.information, 12);
      }
    expect(found.layers[0]!.positions!.groups.map(({ name }) => name)).toEqual(["0", "1-3", "4-15", "16-63"]);
    expect(found.layers[0]!.phases!.groups.map(({ name }) => name)).toEqual(["prompt", "generated"]);
  });

  test("classes of tokens", () => {
    for (const [{ tokenClasses: of }, i] of layers()) {
      const expected = ref.parity[i]!;
      const order = ["number", "word: Latin"].map((name) => of!.groups.indexOf(name));
      expect(order.map((g) => of!.counts[g])).toEqual(expected.counts);
      expect(of!.mutualInformation).toBeCloseTo(expected.information, 12);
    }
  });

  test("tokens an expert prefers, by lift", () => {
    for (const [{ tokenPreferences }, i] of layers()) {
      // One type occurs in one text; the others are tested with 8 experts of 2 layers, 1/4 of the rows each.
      expect(tokenPreferences).toMatchObject({ textsNeeded: 6, testedTypes: 9 });
      for (const { expert, byLift } of tokenPreferences.experts) {
        const expected = Object.entries(ref.tastes[i]![expert]!.byLift).filter(([, { q }]) => q <= 0.05);
        expect(byLift.map(({ tokenId }) => `${tokenId}`).sort()).toEqual(expected.map(([id]) => id).sort());
        for (const { tokenId, texts, lift, liftLow, qValue } of byLift) {
          const of = ref.tastes[i]![expert]!.byLift[tokenId]!;
          expect(texts).toBe(of.texts);
          // A row's weight in its text is a single-precision number.
          expect(error([lift, liftLow], [of.lift, of.liftLow])).toBeLessThan(1e-6);
          expect(qValue / of.q).toBeCloseTo(1, 4);
        }
        const order = byLift.map(({ liftLow }) => liftLow);
        expect(order).toEqual([...order].sort((a, b) => b - a));
      }
    }
    const listed = found.layers.flatMap(({ tokenPreferences }) =>
      tokenPreferences.experts.flatMap(({ byLift }) => byLift),
    );
    expect(listed.length).toBeGreaterThan(0);
  });

  test("tokens an expert weighs most, in their context", () => {
    for (const [{ tokenPreferences }, i] of layers())
      for (const { expert, byWeight } of tokenPreferences.experts) {
        const expected = ref.tastes[i]![expert]!.byWeight;
        expect(byWeight.map(({ tokenId }) => `${tokenId}`).sort()).toEqual(Object.keys(expected).sort());
        for (const { tokenId, weight, sample, position, text } of byWeight) {
          const [most, row] = expected[tokenId]!;
          expect(weight).toBeCloseTo(most, 5);
          expect([sample, position]).toEqual([capture.rows.sample[row], capture.rows.position[row]]);
          expect(text).toBe(tokenText(tokenId));
        }
        const [first] = byWeight;
        if (!first) continue;
        const texts = capture.sample(first.sample).rows.text;
        expect(first.before).toBe(texts.slice(Math.max(0, first.position - 8), first.position).join(""));
        expect(first.after).toBe(texts.slice(first.position + 1, first.position + 5).join(""));
      }
  });

  test("flow from layer to layer, and paths", () => {
    const [flow] = found.flows;
    expect(flow).toMatchObject({ from: 1, to: 2 });
    // Chance is the mean of a few shuffles here, and exact there.
    expect(Math.abs(flow!.information! - ref.flow.information)).toBeLessThan(0.02);
    expect(flow!.entropy).toBeCloseTo(ref.flow.entropy, 12);
    expect(flow!.edges.length).toBeGreaterThan(5);
    for (const { a, b, count, lift, probability } of flow!.edges) {
      expect(count).toBe(ref.flow.counts[a]![b]);
      expect(lift).toBeCloseTo(Number(ref.flow.lift[a]![b]), 12);
      expect(probability).toBeCloseTo(Number(ref.flow.probability[a]![b]), 12);
    }
    const [paths] = found.paths;
    expect(paths!.layers).toEqual(LAYERS);
    expect(paths!.top.slice(0, 5).map(({ count }) => count)).toEqual(ref.paths.counts);
    expect(paths!.top[0]!.experts).toEqual(ref.paths.experts[0]);
  });

  test("similarity of the experts' mean states", () => {
    expect(found.layers[0]!.hiddenStates).toBeNull();
    const { stateOf, similarity, mostSimilar } = found.layers[1]!.hiddenStates!;
    expect(stateOf).toBe(1);
    expect(error(numbers(similarity!.flat()), nulls(ref.similarity))).toBeLessThan(1e-3);
    for (const { a, b, cosine } of mostSimilar) expect(cosine).toBeCloseTo(Number(ref.similarity[a]![b]), 6);
  });

  test("the probe beats chance where states decide the routing, and not where they are noise", async () => {
    const { probe } = found.layers[1]!.hiddenStates!;
    expect(probe!.accuracy).toBeGreaterThan(probe!.chance + 0.2);
    expect(probe).toMatchObject({ testedRows: capture.rows.length, folds: 5 });
    const noise = given.streams.hidden_states.map((_, i) => Math.sin(i * i));
    const none = captureOf({ ...given, streams: { ...given.streams, hidden_states: noise } });
    const { layers: without } = await analyzeCapture(none, options);
    const { accuracy, chance } = without[1]!.hiddenStates!.probe!;
    expect(accuracy).toBeLessThan(chance + 0.1);
  });

  test("survives JSON as it is", () => {
    expect(JSON.parse(JSON.stringify(found))).toEqual(found);
  });
});

describe("analyzeCapture", () => {
  let folder: string;
  let stored: Capture;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "moescope-analyze-"));
    stored = await folderOf(given, join(folder, "run"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("threads over a folder find what one thread finds in memory", async () => {
    const inMemory = await analyzeCapture(capture, options);
    const seen: number[] = [];
    const onProgress = ({ done, total }: { done: number; total: number }) => seen.push(done / total);
    const onThreads = await analyzeCapture(stored, { ...options, threads: 2, onProgress });
    expect({ ...onThreads, model: null }).toEqual({ ...inMemory, model: null });
    // Two layers, and what looks at both of them.
    expect(seen).toEqual(seen.map((_, i) => i / (seen.length - 1)));
    expect(seen.length).toBeGreaterThan(3);
  });

  test("labels and layers narrow it, on threads too", async () => {
    const narrow = { ...options, labels: ["code"], layers: [-1] };
    const found = await analyzeCapture(stored, { ...narrow, threads: 2 });
    expect(found.layers.map(({ layer }) => layer)).toEqual([2]);
    expect(found.labels).toEqual([{ label: "code", samples: 6, rows: codeRows() }]);
    expect(found.layers[0]!.rows).toBe(codeRows());
    expect(found.layers[0]!.specialization).toBeNull();
    expect(found.completeness).toMatchObject({ samples: 12, samplesWithRows: 6, layersWithoutRows: [1] });
    expect({ ...found, model: null }).toEqual({ ...(await analyzeCapture(capture, narrow)), model: null });
  });

  const codeRows = () => ref.lengths.reduce((sum, n, i) => sum + (ref.labels[i] === "code" ? n : 0), 0);

  test("says what it cannot do", async () => {
    await expect(analyzeCapture(capture, { labels: ["prose"] })).rejects.toThrow(/math, code/);
    await expect(analyzeCapture(capture, { layers: [0] })).rejects.toMatchObject({ code: "UNKNOWN_LAYER" });
    await expect(analyzeCapture(capture, { threads: 0 })).rejects.toThrow(/threads/);
    await expect(analyzeCapture(capture, { permutations: 0.5 })).rejects.toThrow(/permutations/);
  });

  test("an abort ends it with its reason, in this thread and on others", async () => {
    for (const threads of [1, 2]) {
      const abort = new AbortController();
      const running = analyzeCapture(stored, {
        permutations: 1_000_000,
        threads,
        signal: abort.signal,
        onProgress: () => abort.abort(new Error("enough")),
      });
      await expect(running).rejects.toThrow("enough");
    }
  });

  test("what is wrong with the folder comes back from a thread as it was", async () => {
    const broken = join(folder, "broken");
    await folderOf(given, broken);
    const opened = await openCapture(broken);
    const shard = readdirSync(broken).find((name) => name.startsWith("router_logits"))!;
    truncateSync(join(broken, shard), 100);
    await expect(analyzeCapture(opened, { ...options, threads: 2 })).rejects.toMatchObject({
      name: "CaptureError",
      code: "CAPTURE_INVALID",
      message: expect.stringContaining(shard),
    });
  });

  test("a capture without rows, one without labels, one of expert ids only", async () => {
    const empty = captureOf({
      ...given,
      labels: [],
      lengths: [],
      phases: [],
      tokenIds: [],
      streams: { expert_ids: new Uint16Array(0) },
    });
    const nothing = await analyzeCapture(empty, options);
    expect(nothing.layers.map(({ rows, balance }) => [rows, balance])).toEqual([
      [0, null],
      [0, null],
    ]);
    expect(JSON.parse(JSON.stringify(nothing))).toEqual(nothing);
    const plain = await analyzeCapture(captureOf({ ...given, labels: ref.labels.map(() => null) }), options);
    expect(plain.layers[0]!.specialization).toBeNull();
    expect(plain.specializedExperts).toEqual([]);
    const ids = Uint16Array.from({ length: 2 * capture.rows.length * 2 }, (_, i) => i % 2);
    const { layers } = await analyzeCapture(captureOf({ ...given, streams: { expert_ids: ids } }), options);
    expect(layers[0]).toMatchObject({ entropy: null, margin: null, hiddenStates: null });
    expect(layers[0]!.tokenPreferences.experts[0]!.byWeight).toEqual([]);
  });
});

test("only(): the rows of some samples, wherever they are", async () => {
  const some = capture.only([7, 2, 3]);
  expect([...new Set(some.rows.sample)]).toEqual([2, 3, 7]);
  expect(some.rows.length).toBe(ref.lengths[2]! + ref.lengths[3]! + ref.lengths[7]!);
  const expected = [2, 3, 7].flatMap((sample) => [...capture.sample(sample).routerLogits.get(2)!.data]);
  expect([...some.routerLogits.get(2)!.data]).toEqual(expected);
  const experts = ref.experts;
  expect([...some.routerLogits.rows(2, 5, 40).data]).toEqual(expected.slice(5 * experts, 40 * experts));
  expect(some.rows.text).toEqual([2, 3, 7].flatMap((sample) => capture.sample(sample).rows.text));
  expect(() => capture.only([12])).toThrow(/no sample 12/);
});
