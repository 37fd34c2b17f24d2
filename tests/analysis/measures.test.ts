import { describe, expect, test } from "vitest";
import { paths } from "../../src/analysis/measures/paths.ts";
import { someSpans } from "../../src/analysis/rows/sample-spans.ts";
import { tokenClass } from "../../src/analysis/rows/token-class.ts";
import {
  averageLinkage,
  cutTree,
  leafOrder,
  silhouette,
} from "../../src/analysis/statistics/average-linkage.ts";
import { addItem, candidates, startItems } from "../../src/analysis/statistics/frequent-items.ts";
import { sparseProjection } from "../../src/analysis/statistics/linear/random-projection.ts";
import { RidgeSums } from "../../src/analysis/statistics/linear/ridge.ts";
import { addValues, mergeMoments, noMoments, summaryOf } from "../../src/analysis/statistics/moments.ts";
import { labelCounter } from "../../src/analysis/statistics/randomization/label-counts.ts";
import { seededRandom, shuffle } from "../../src/analysis/statistics/randomization/random.ts";
import { testRotations } from "../../src/analysis/statistics/randomization/rotation-test.ts";
import { Rotations, type SampleRows } from "../../src/analysis/statistics/randomization/rotations.ts";
import { error, reference } from "./reference.ts";

describe("clusters", () => {
  const { distances, merges, leaves, cuts, silhouettes } = reference.clusters;
  const n = distances.length;
  const flatDistances = Float64Array.from(distances.flat());
  const tree = averageLinkage(flatDistances, n);

  test("average linkage is scipy's", () => {
    expect(tree.map(({ a, b, size }) => [a, b, size])).toEqual(merges.map(([a, b, , size]) => [a, b, size]));
    expect(
      error(
        tree.map(({ distance }) => distance),
        merges.map(([, , distance]) => distance),
      ),
    ).toBeLessThan(1e-12);
    expect(leafOrder(tree, n)).toEqual(leaves);
  });

  test("cuts are scipy's, silhouettes scikit-learn's", () => {
    cuts.forEach((cut, i) => {
      const own = cutTree(tree, n, i + 2);
      // The same partition, whatever the clusters' numbers.
      expect(new Set(cut.map((c, item) => `${c} ${own[item]}`)).size).toBe(i + 2);
      expect(silhouette(flatDistances, own)).toBeCloseTo(silhouettes[i]!, 12);
    });
  });

  test("one item and equal distances", () => {
    expect(averageLinkage(new Float64Array(1), 1)).toEqual([]);
    expect(leafOrder([], 1)).toEqual([0]);
    const equal = averageLinkage(new Float64Array(16).fill(1), 4);
    expect(equal.at(-1)!.size).toBe(4);
  });
});

test("ridge classifier predicts what scikit-learn's does", () => {
  const { x, y, fitted, predicted } = reference.ridge;
  const sums = new RidgeSums(6, 4);
  for (let row = 0; row < fitted; row++) sums.add(Float64Array.from(x[row]!), y[row]!);
  const classifier = sums.fit(1);
  expect(x.slice(fitted).map((row) => classifier.predict(Float64Array.from(row)))).toEqual(predicted);
});

describe("rotation test", () => {
  const { lengths, group, expert, information, share, js, chance } = reference.rotation;
  const offsets = Uint32Array.from([
    0,
    ...lengths.map((_, i) => lengths.slice(0, i + 1).reduce((a, b) => a + b)),
  ]);
  const rows: SampleRows = { offsets, ids: Uint16Array.from(expert), topK: 1 };
  const grouping = { group, groups: 2 };
  const rotations = 20_000;
  // Five standard errors of a share of 20 000 draws.
  const within = (p: number) => 5 * Math.sqrt((p * (1 - p)) / rotations);

  test("comes near all rotations, by numpy", () => {
    const groupings = { usage: [grouping], divergence: [grouping] };
    const tests = testRotations(rows, groupings, 3, rotations, 1);
    const { layer, shares, counts } = tests.usage[0]!;
    expect(layer.observed[0]).toBeCloseTo(information.observed, 12);
    expect(Math.abs(layer.pValues[0]! - information.p)).toBeLessThan(within(information.p));
    expect(Math.abs(layer.chance[0]! - chance)).toBeLessThan(0.01);
    expect(shares.observed[5]).toBeCloseTo(share.observed, 12);
    expect(Math.abs(shares.pValues[5]! - share.p)).toBeLessThan(within(share.p));
    expect(counts.reduce((sum, n) => sum + n)).toBe(expert.length);
    const divergence = tests.divergence[0]!;
    expect(divergence.groups.observed[0]).toBeCloseTo(js.observed, 12);
    expect(Math.abs(divergence.groups.pValues[1]! - js.p)).toBeLessThan(within(js.p));
  });

  test("runs of alike tokens do not fool it", () => {
    // Groups and experts come in runs, and have nothing to do with each other.
    let alarms = 0;
    const runs = 100;
    for (let run = 0; run < runs; run++) {
      const random = seededRandom(run + 1);
      const inRuns = (values: number) => {
        let value = 0;
        return Array.from({ length: 400 }, () => {
          if (random() < 0.1) value = Math.floor(random() * values);
          return value;
        });
      };
      const independent: SampleRows = {
        offsets: Uint32Array.from({ length: 11 }, (_, i) => 40 * i),
        ids: Uint16Array.from(inRuns(4)),
        topK: 1,
      };
      const usage = [{ group: inRuns(2), groups: 2 }];
      const tests = testRotations(independent, { usage, divergence: [] }, 4, 199, run);
      if (tests.usage[0]!.layer.pValues[0]! <= 0.05) alarms++;
    }
    // 5 of 100 are expected; more than 13 have a chance below 0.001.
    expect(alarms).toBeLessThanOrEqual(13);
  });

  // With 3 experts the groupings are counted together, with 300 each by itself.
  for (const experts of [3, 300])
    test(`groupings turned together are counted as each alone, ${experts} experts`, () => {
      const random = seededRandom(7);
      const draw = (length: number, below: number) =>
        Array.from({ length }, () => Math.floor(random() * below));
      const several = {
        offsets: Uint32Array.of(0, 30, 90),
        ids: Uint16Array.from(draw(630, experts)),
        topK: 7,
      };
      const groupings = [2, 5, 3].map((groups) => ({ group: draw(90, groups), groups }));
      const together = new Rotations(several, groupings, experts, 1);
      const alone = groupings.map((of) => new Rotations(several, [of], experts, 1));
      for (let turn = 0; turn < 5; turn++) {
        expect(together.counted).toEqual(alone.map(({ counted }) => counted[0]));
        for (const { counts, rows: sizes } of together.counted) {
          expect(counts.reduce((sum, n) => sum + n)).toBe(630);
          expect(sizes.reduce((sum, n) => sum + n)).toBe(90);
        }
        for (const rotated of [together, ...alone]) rotated.turn();
      }
    });
});

describe("counts by label", () => {
  // Samples that use most experts are packed, rows that use few are not; counts beyond 2^26 leave one to a number.
  for (const [name, experts, used, most] of [
    ["packed", 7, 7, 90],
    ["sparse", 100, 2, 90],
    ["large", 5, 5, 2 ** 40],
  ] as const)
    test(`as added one by one: ${name}`, () => {
      const random = seededRandom(3);
      const below = (n: number) => Math.floor(random() * n);
      const label = Int32Array.from({ length: 40 }, () => below(3));
      const entries = 40 * used;
      const units = {
        label,
        rows: Uint32Array.from(label, () => below(100)),
        offsets: Uint32Array.from({ length: 41 }, (_, i) => i * used),
        experts: Uint16Array.from({ length: entries }, (_, i) =>
          experts === used ? i % used : below(experts),
        ),
        counts: Float64Array.from({ length: entries }, () => below(most)) as unknown as Uint32Array,
      };
      const counts = new Float64Array(3 * experts);
      const rows = new Float64Array(3);
      const count = labelCounter(units, label, 3, experts);
      for (let turn = 0; turn < 3; turn++) {
        count(counts, rows);
        const expected = new Float64Array(3 * experts);
        const lengths = new Float64Array(3);
        label.forEach((of, unit) => {
          lengths[of]! += units.rows[unit]!;
          for (let i = unit * used; i < (unit + 1) * used; i++)
            expected[of * experts + units.experts[i]!]! += units.counts[i]!;
        });
        expect(counts).toEqual(expected);
        expect(rows).toEqual(lengths);
        shuffle(label, random);
      }
    });
});

test("classes of tokens", () => {
  const cases: [text: string, before: string, expected: string][] = [
    ["<s>", "", "control"],
    ["<|im_end|>", "x", "control"],
    ["[INST]", "", "control"],
    ["<0xE2><0x96>", "a", "bytes"],
    ["\n\n", "", "newline"],
    ["    ", "\n", "space"],
    [" 42", "", "number"],
    ["٣", "", "number"],
    [" (", "", "punctuation"],
    [" +=", "", "symbol"],
    [" the", "", "word: Latin"],
    ["The", ".", "word: Latin"],
    ["The", "<s>", "word: Latin"],
    ["ing", " walk", "continuation"],
    [" ing", " walk", "word: Latin"],
    ["é", " fianc", "continuation"],
    [" слово", "", "word: Cyrillic"],
    ["漢字", "漢", "word: Han"],
    [" ልጅ", "", "word: other"],
    [".append", "", "mixed"],
    ["x1", "", "mixed"],
    ["", "", "space"],
  ];
  for (const [text, before, expected] of cases)
    expect([text, tokenClass(text, before)]).toEqual([text, expected]);
});

test("Misra-Gries keeps every item above its share, in bounded memory", () => {
  const random = seededRandom(3);
  const frequent = startItems();
  const items = Array.from({ length: 5000 }, (_, i) =>
    i % 8 === 0 ? 7 : i % 7 === 0 ? 8 : 100 + Math.floor(random() * 1e6),
  );
  for (const item of items) addItem(frequent, item, 9);
  expect(candidates(frequent)).toEqual(expect.arrayContaining([7, 8]));
  expect(candidates(frequent).length).toBeLessThanOrEqual(9);
});

test("spans of some samples are spread evenly and no longer than asked", () => {
  const spans = Array.from({ length: 100 }, (_, sample) => ({
    sample,
    from: 30 * sample,
    to: 30 * sample + 30,
  }));
  expect(someSpans(spans, 3000)).toEqual(spans);
  const some = someSpans(spans, 300);
  expect(some.reduce((rows, { from, to }) => rows + to - from, 0)).toBe(300);
  expect(some.length).toBe(10);
  const half = some.filter(({ sample }) => sample < 50).length;
  expect(half).toBe(5);
  expect(someSpans([{ sample: 0, from: 0, to: 1000 }], 10)).toEqual([{ sample: 0, from: 0, to: 10 }]);
});

test("paths are whole numbers that stay exact", () => {
  const layers = Array.from({ length: 48 }, (_, i) => i);
  for (const experts of [16, 128, 512]) {
    const segments = paths.groups(layers, experts);
    expect(segments.flat()).toEqual(layers);
    for (const { length } of segments) expect(experts ** length).toBeLessThanOrEqual(2 ** 53);
  }
  expect(paths.groups([3], 8)).toEqual([]);
  expect(paths.groups([], 8)).toEqual([]);
});

test("a sparse random projection keeps distances", () => {
  const random = seededRandom(5);
  const rows = Array.from({ length: 12 }, () => Float32Array.from({ length: 4096 }, () => random() - 0.5));
  const project = sparseProjection(4096, 512, 1);
  const projected = rows.map((row) => {
    const out = new Float64Array(512);
    project(row, out);
    return out;
  });
  const distance = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Math.sqrt(Array.from(a).reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0));
  for (let i = 1; i < rows.length; i++) {
    const ratio = distance(projected[0]!, projected[i]!) / distance(rows[0]!, rows[i]!);
    expect(Math.abs(ratio - 1)).toBeLessThan(0.2);
  }
});

test("summary of rows leaves out what is not finite, and parts merge to the whole", () => {
  const moments = (values: readonly number[]) => {
    const made = noMoments();
    addValues(made, Float64Array.from(values), 0, values.length);
    return made;
  };
  const all = moments([1, 2, 4, Infinity, Number.NaN]);
  expect(summaryOf(all)).toEqual({
    rows: 3,
    mean: 7 / 3,
    deviation: expect.closeTo(Math.sqrt(7 / 3), 12),
    min: 1,
    max: 4,
  });
  expect(all).toMatchObject({ rows: 5, finite: 3, sum: Number.NaN });
  expect(summaryOf(noMoments())).toEqual({ rows: 0, mean: null, deviation: null, min: null, max: null });
  const merged = mergeMoments(moments([1, Infinity]), moments([2, 4, Number.NaN]));
  expect(summaryOf(merged).mean).toBeCloseTo(7 / 3, 12);
  expect(summaryOf(merged).deviation).toBeCloseTo(Math.sqrt(7 / 3), 12);
  expect(mergeMoments(all, noMoments())).toEqual(all);
  expect(mergeMoments(noMoments(), all)).toEqual(all);
});
