import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test, vi } from "vitest";
import { pruneCandidates } from "../../src/advice/prune-candidates.ts";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import { compareCaptures } from "../../src/analysis/compare/compare-captures.ts";
import { entropyReducer } from "../../src/analysis/reducers/entropy.ts";
import { routingEntropy, routingMargin } from "../../src/analysis/row-means.ts";
import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { analyzeExpertUsage } from "../../src/hs/analyze-expert-usage.ts";
import { captureOf, runOf } from "./synthetic.ts";

const [EXPERTS, TOP_K, WIDTH] = [6, 2, 3];
const LAYERS = [0, 1];

/** Texts of two layers; in layer 1 the rows that are broken have values that are no numbers. */
function given(lengths: readonly number[], broken: ReadonlySet<number>, bad: number, seed: number) {
  const random = seededRandom(seed);
  const rows = lengths.reduce((sum, n) => sum + n, 0);
  const normal = () => 2 * random() - 1;
  const fill = (width: number, layer: number, of: () => number) =>
    Float32Array.from({ length: rows * width }, (_, i) => {
      const value = of();
      return layer === 1 && broken.has(Math.floor(i / width)) && i % width === 1 ? bad : value;
    });
  const all = (width: number, of: () => number) =>
    Float32Array.from(LAYERS.flatMap((layer) => [...fill(width, layer, of)]));
  const ids = Uint16Array.from(
    LAYERS.flatMap(() =>
      Array.from({ length: rows }, () => {
        const first = Math.floor(random() * EXPERTS);
        return [first, (first + 1 + Math.floor(random() * (EXPERTS - 1))) % EXPERTS];
      }).flat(),
    ),
  );
  return {
    experts: EXPERTS,
    topK: TOP_K,
    labels: lengths.map((_, i) => ["a", "b"][i % 2]!),
    lengths,
    layers: LAYERS,
    tokenIds: Array.from({ length: rows }, (_, i) => i % 7),
    streams: {
      router_logits: all(EXPERTS, normal),
      expert_ids: ids,
      expert_weights: all(TOP_K, random),
      hidden_states: all(WIDTH, normal),
      expert_outputs: all(TOP_K * WIDTH, normal),
    },
  };
}

type Given = ReturnType<typeof given>;

/** The same without some rows, whose places stay empty. */
function without(of: Given, broken: ReadonlySet<number>): Given & { positions: number[] } {
  const rows = of.tokenIds.length;
  const kept = Array.from({ length: rows }, (_, row) => row).filter((row) => !broken.has(row));
  const sample = of.lengths.flatMap((n, i) => new Array<number>(n).fill(i));
  const positions = of.lengths.flatMap((n) => Array.from({ length: n }, (_, p) => p));
  const rowsOf = <A extends Float32Array | Uint16Array>(data: A): A => {
    const width = data.length / LAYERS.length / rows;
    const at = LAYERS.flatMap((_, layer) => kept.map((row) => (layer * rows + row) * width));
    const out = data.slice(0, at.length * width) as A;
    at.forEach((from, i) => {
      out.set(data.subarray(from, from + width), i * width);
    });
    return out;
  };
  return {
    ...of,
    lengths: of.lengths.map((_, i) => kept.filter((row) => sample[row] === i).length),
    positions: kept.map((row) => positions[row]!),
    tokenIds: kept.map((row) => of.tokenIds[row]!),
    streams: Object.fromEntries(
      Object.entries(of.streams).map(([name, data]) => [name, rowsOf(data)]),
    ) as Given["streams"],
  };
}

const bads = [Number.NaN, Infinity] as const;
const settings = { permutations: 9 };

test("figures of values are those without the rows that are not finite, and say how many these are", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 3, max: 9 }), { minLength: 8, maxLength: 10 }),
      fc.array(fc.nat(40), { minLength: 1, maxLength: 6 }),
      fc.constantFrom(...bads),
      fc.nat(1000),
      async (lengths, rows, bad, seed) => {
        const total = lengths.reduce((sum, n) => sum + n, 0);
        const broken = new Set(rows.filter((row) => row < total));
        const of = given(lengths, broken, bad, seed);
        const [whole, rest] = [captureOf(of), captureOf(without(of, broken))];
        const [found, expected] = [
          await analyzeCapture(whole, settings),
          await analyzeCapture(rest, settings),
        ];
        const n = broken.size;
        const [a, b] = [found.layers[1]!, expected.layers[1]!];
        expect(a.entropy).toEqual({ ...b.entropy, notFinite: n });
        expect(a.margin).toEqual({ ...b.margin, notFinite: n });
        expect(a.usage.notFinite).toBe(n);
        a.usage.experts.forEach(({ weight, weightShare }, e) => {
          expect(weight).toBeCloseTo(b.usage.experts[e]!.weight!, 9);
          expect(weightShare).toBeCloseTo(b.usage.experts[e]!.weightShare!, 9);
        });
        // The first layer's states are finite, the second's weights are not: no best expert to find in them.
        expect(a.hiddenStates!.notFinite).toBe(n);
        expect(a.hiddenStates!.similarity).toEqual(b.hiddenStates!.similarity);
        expect(found.flows).toEqual(expected.flows);
        expect(found.paths).toEqual(expected.paths);
        const heaviest = (layer: typeof a) =>
          layer.tokenPreferences.experts.map(({ byWeight }) => byWeight.map(({ weight }) => weight));
        expect(heaviest(a)).toEqual(heaviest(b));
        expect(found.layers[0]!.entropy!.notFinite).toBe(0);
        expect(JSON.stringify(found)).not.toMatch(/Infinity|NaN/);

        const [scores, restScores] = [pruneCandidates(whole), pruneCandidates(rest)];
        expect(scores.notFinite).toBe(n);
        const inOrder = ({ experts }: typeof scores) =>
          [...experts]
            .filter(({ layer }) => layer === 1)
            .sort((x, y) => x.expert - y.expert)
            .map(({ weightShare, reap }) => [weightShare, reap!.score]);
        inOrder(scores).forEach((of, e) => {
          of.forEach((value, i) => {
            expect(value).toBeCloseTo(inOrder(restScores)[e]![i]!, 9);
          });
        });
      },
    ),
    { numRuns: 12 },
  );
}, 60_000);

test("rows that are not finite agree with nothing, not even with themselves", () => {
  const broken = new Set([2, 3, 17]);
  const lengths = [6, 6, 6, 6, 6, 6, 6, 6];
  for (const bad of bads) {
    const of = given(lengths, broken, bad, 3);
    const other = given(lengths, broken, bad, 4);
    const [a, b] = [captureOf(of), captureOf({ ...other, tokenIds: of.tokenIds })];
    const [restA, restB] = [without(of, broken), without({ ...other, tokenIds: of.tokenIds }, broken)].map(
      (x) => captureOf(x),
    ) as [typeof a, typeof b];
    const self = compareCaptures(a, a, settings);
    expect(self).toMatchObject({ notFinite: 3, exact: 1, moved: [] });
    expect(self.layers.get(1)).toMatchObject({ notFinite: 3, exact: 1, top1: 1, kl: 0, js: 0 });
    const found = compareCaptures(a, b, settings).layers.get(1)!;
    const expected = compareCaptures(restA, restB, settings).layers.get(1)!;
    for (const key of ["exact", "overlap", "top1", "kl", "js"] as const)
      expect(found[key]).toBeCloseTo(expected[key]!, 12);
    expect(found.experts.map(({ difference, pValue }) => [difference, pValue])).toEqual(
      expected.experts.map(({ difference, pValue }) => [difference, pValue]),
    );
  }
});

test("means without a place for a count, and choices that no logits tell, are refused with words", async () => {
  const { streams, ...of } = given([5, 6], new Set([1]), Number.NaN, 1);
  const capture = captureOf({ ...of, streams });
  for (const mean of [routingEntropy, routingMargin])
    expect(() => mean(capture)).toThrow("layer 1: router logits of 1 of 11 rows are not finite");
  const logitsOnly = captureOf({ ...of, streams: { router_logits: streams.router_logits } });
  await expect(analyzeCapture(logitsOnly)).rejects.toMatchObject({
    code: "CAPTURE_INVALID",
    message: expect.stringContaining("do not tell the experts"),
  });
  const reduced = entropyReducer();
  const { header, batches } = runOf({ ...of, streams });
  reduced.open(header);
  for (const batch of batches) reduced.write(batch);
  const { layers } = await reduced.close({ finished: [] });
  expect(layers.get(1)).toMatchObject({
    rows: 10,
    notFinite: 1,
    mean: expect.closeTo(layers.get(1)!.mean, 9),
  });
  expect(Number.isFinite(layers.get(1)!.mean)).toBe(true);
});

test("EasySteer's usage counts tokens that have probabilities", () => {
  const logits = { type: "float32", dims: [3, 3] } as const;
  const data = Float32Array.of(3, 2, 1, Number.NaN, 0, 9, 0, 1, 2);
  const { expertUsageCounts, notFiniteTokens } = analyzeExpertUsage(new Map([[0, { ...logits, data }]]), {
    topK: 1,
    normalize: true,
  });
  expect(expertUsageCounts.get(0)).toEqual([0.5, 0, 0.5]);
  expect(notFiniteTokens.get(0)).toBe(1);
});

const folder = mkdtempSync(join(tmpdir(), "moescope-not-finite-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a float16 store that a value does not fit in says so when it is written and when it is opened", async () => {
  const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  const { header, batches } = runOf({
    experts: 2,
    topK: 1,
    labels: [null],
    lengths: [2],
    streams: { hidden_states: Float32Array.of(1, 7e4, -2e9, Infinity, 0, 0, 0, 0) },
  });
  const sink = new FolderSink(join(folder, "narrow"), { dtype: "float16" });
  await sink.open(header);
  for (const batch of batches) await sink.write(batch);
  await sink.close({ finished: [] });
  const said = expect.stringContaining("2 values of hidden_states lie beyond ±65504");
  expect(warn.mock.calls).toEqual([[said, expect.objectContaining({ code: "FLOAT16_SATURATED" })]]);
  await openCapture(join(folder, "narrow"));
  expect(warn).toHaveBeenCalledTimes(2);
  warn.mockRestore();
});
