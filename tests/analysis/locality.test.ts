import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { expertCache } from "../../src/advice/expert-cache.ts";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import {
  beladyHits,
  type ExpertSequence,
  lfuHits,
  stackDistances,
  unionSize,
} from "../../src/analysis/statistics/expert-cache.ts";
import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import { captureOf } from "./synthetic.ts";

/** What `locality.py` wrote; see there. */
const reference = JSON.parse(readFileSync(new URL("locality.json", import.meta.url), "utf8")) as {
  readonly experts: number;
  readonly topK: number;
  readonly lengths: number[];
  readonly layers: number[][][];
  readonly sizes: number[];
  readonly lru: number[];
  readonly lruCold: number[];
  readonly lfu: number[];
  readonly belady: number[];
  readonly unions: [number, number | null][];
  readonly repeated: number;
  readonly recalls: { predicted: number; recall: number; byPopularity: number }[];
};
const { experts, topK, lengths, sizes } = reference;
const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, n) => sum + n, 0));
const tokens = lengths.reduce((sum, n) => sum + n, 0);
const requests = tokens * topK;
const sequence: ExpertSequence = {
  ids: Uint16Array.from(reference.layers[0]!.flat()),
  tokens,
  topK,
  experts,
  starts,
};
const capture = captureOf({
  experts,
  topK,
  labels: lengths.map(() => null),
  lengths,
  layers: [3, 7],
  streams: { expert_ids: Uint16Array.from(reference.layers.flat(2)) },
});

const within = (distances: Float64Array, size: number) =>
  distances.subarray(1, size + 1).reduce((sum, n) => sum + n, 0);

describe("caches", () => {
  const units = starts.map(() => 0);
  test("LRU: the stack distances of one pass tell the hits of every size", () => {
    const warm = stackDistances(sequence, units, 1, false);
    expect(sizes.map((size) => within(warm, size))).toEqual(reference.lru);
    const cold = stackDistances(sequence, units, 1, true);
    expect(sizes.map((size) => within(cold, size))).toEqual(reference.lruCold);
    expect(warm.reduce((sum, n) => sum + n, 0)).toBe(requests);
    // By text, they add up to the same.
    const byText = stackDistances(
      sequence,
      starts.map((_, text) => text),
      starts.length,
      false,
    );
    warm.forEach((n, d) => {
      expect(starts.reduce((sum, _, text) => sum + byText[text * (experts + 1) + d]!, 0)).toBe(n);
    });
  });

  test("LFU and Belady", () => {
    expect(sizes.map((size) => lfuHits(sequence, size))).toEqual(reference.lfu);
    expect(sizes.map((size) => beladyHits(sequence, size))).toEqual(reference.belady);
  });

  test("no policy beats Belady, and a larger cache serves more", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = seededRandom(seed);
      const ids: number[] = [];
      for (let token = 0; token < 300; token++) {
        const chosen = new Set<number>();
        while (chosen.size < 3) chosen.add(Math.floor(16 * random() ** 2));
        ids.push(...chosen);
      }
      const of = { ids: Uint16Array.from(ids), tokens: 300, topK: 3, experts: 16, starts: [0, 40, 170] };
      const lru = stackDistances(of, [0, 0, 0], 1, false);
      let before = 0;
      for (let size = 3; size <= 16; size++) {
        const best = beladyHits(of, size);
        expect(within(lru, size)).toBeLessThanOrEqual(best);
        expect(lfuHits(of, size)).toBeLessThanOrEqual(best);
        expect(best).toBeGreaterThanOrEqual(before);
        before = best;
      }
      // Everything fits: only first uses miss.
      expect(before).toBe(900 - new Set(ids).size);
    }
  });

  test("experts of n tokens", () => {
    for (const [window, wanted] of reference.unions) {
      const found = unionSize(sequence, window);
      if (wanted === null) expect(found).toBeNaN();
      else expect(found).toBeCloseTo(wanted, 12);
    }
  });
});

test("the measures have the same, with intervals", async () => {
  const { locality, nextExperts } = await analyzeCapture(capture, { measures: ["locality", "nextExperts"] });
  const [first] = locality;
  expect(first).toMatchObject({ layer: 3, tokens, texts: lengths.length });
  expect(first!.lruCurve.slice(topK - 1)).toEqual(
    reference.lru.map((hits) => Number((hits / requests).toFixed(4))),
  );
  for (const { size, lru, lruInterval, lruCold, lfu, belady } of first!.caches) {
    const i = sizes.indexOf(size);
    expect([lru, lruCold, lfu, belady].map((rate) => Math.round(rate * requests))).toEqual([
      reference.lru[i],
      reference.lruCold[i],
      reference.lfu[i],
      reference.belady[i],
    ]);
    expect(lruInterval[0]).toBeLessThan(lru);
    expect(lruInterval[1]).toBeGreaterThan(lru);
  }
  expect(first!.repeated).toBeCloseTo(reference.repeated, 12);
  expect(first!.unions.map(({ tokens: n, experts: of }) => [n, of.toFixed(9)])).toEqual(
    reference.unions.flatMap(([n, of]) => (of === null ? [] : [[n, of.toFixed(9)]])),
  );
  expect(nextExperts).toHaveLength(1);
  expect(nextExperts[0]).toMatchObject({ from: 3, to: 7, tokens });
  nextExperts[0]!.recalls.forEach(({ predicted, recall, byPopularity, interval }, i) => {
    const wanted = reference.recalls[i]!;
    expect(predicted).toBe(wanted.predicted);
    expect(recall).toBeCloseTo(wanted.recall, 12);
    expect(byPopularity).toBeCloseTo(wanted.byPopularity, 12);
    expect(interval[0]).toBeLessThanOrEqual(recall);
    expect(interval[1]).toBeGreaterThanOrEqual(recall);
  });
});

test("a layer that decides the next is predicted, from other texts", async () => {
  const random = seededRandom(3);
  const a = Array.from({ length: 400 }, () => Math.floor(8 * random()));
  const one = captureOf({
    experts: 8,
    topK: 1,
    labels: new Array(10).fill(null),
    lengths: new Array(10).fill(40),
    layers: [0, 1],
    streams: { expert_ids: Uint16Array.from([...a, ...a.map((e) => (3 * e + 1) % 8)]) },
  });
  const { nextExperts } = await analyzeCapture(one, { measures: ["nextExperts"] });
  expect(nextExperts[0]!.recalls[0]).toMatchObject({ predicted: 1, recall: 1 });
  expect(nextExperts[0]!.recalls[0]!.byPopularity).toBeLessThan(0.3);
});

test("one text is not predicted from itself, and no rows are no failure", async () => {
  const run = { experts: 4, topK: 1, labels: [null], layers: [0, 1] };
  const one = captureOf({
    ...run,
    lengths: [6],
    streams: { expert_ids: Uint16Array.from([0, 1, 2, 0, 1, 2, 1, 2, 3, 1, 2, 3]) },
  });
  const { nextExperts, locality } = await analyzeCapture(one, { measures: ["nextExperts", "locality"] });
  expect(nextExperts).toEqual([]);
  expect(locality[0]!.caches[0]!.lruInterval).toEqual([0, 1]);
  const none = captureOf({ ...run, lengths: [0], streams: { expert_ids: new Uint16Array(0) } });
  const empty = await analyzeCapture(none, { measures: ["nextExperts", "locality"] });
  expect(empty.locality.map(({ tokens: n, caches }) => [n, caches])).toEqual([
    [0, []],
    [0, []],
  ]);
});

test("the advice sums up the layers by the bytes of their experts", () => {
  const bytes = [
    { layer: 3, bytes: 30 },
    { layer: 7, bytes: 10 },
  ];
  const found = expertCache(capture, 3, bytes)!;
  const second = { ...sequence, ids: Uint16Array.from(reference.layers[1]!.flat()) };
  const rate = (of: (sequence: ExpertSequence) => number) =>
    (0.75 * of(sequence) + 0.25 * of(second)) / requests;
  expect(found).toMatchObject({ tokens, texts: lengths.length });
  expect(found.belady).toBeCloseTo(
    rate((of) => beladyHits(of, 3)),
    12,
  );
  expect(found.lfu).toBeCloseTo(
    rate((of) => lfuHits(of, 3)),
    12,
  );
  const lru = (of: ExpertSequence) =>
    within(
      stackDistances(
        of,
        lengths.map(() => 0),
        1,
        false,
      ),
      3,
    );
  expect(found.lru).toBeCloseTo(rate(lru), 12);
  expect(found.lruInterval[0]).toBeLessThan(found.lru);
  expect(found.lruInterval[1]).toBeGreaterThan(found.lru);
  const busiest = (of: ExpertSequence) =>
    Array.from({ length: experts }, (_, e) => of.ids.filter((id) => id === e).length)
      .sort((a, b) => b - a)
      .slice(0, 3)
      .reduce((sum, n) => sum + n, 0);
  expect(found.pinned).toBeCloseTo(rate(busiest), 12);
  expect(expertCache(capture, experts, bytes)!.pinned).toBe(1);
  expect(expertCache(capture, topK - 1, bytes)).toBeNull();
});
