import { describe, expect, test } from "vitest";
import { paths } from "../../src/analysis/measures/paths.ts";
import { accuracyInterval } from "../../src/analysis/measures/tallies/linear-probe.ts";
import {
  addDifferences,
  besideEachOther,
  closeText,
  contrasts,
  startDifferences,
} from "../../src/analysis/measures/tallies/text-differences.ts";
import type { LayerChunk } from "../../src/analysis/rows/layer-chunk.ts";
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
import { testGroupings } from "../../src/analysis/statistics/randomization/group-test.ts";
import { labelCounter } from "../../src/analysis/statistics/randomization/label-counts.ts";
import { correctedTogether } from "../../src/analysis/statistics/randomization/max-t.ts";
import { seededRandom, shuffle } from "../../src/analysis/statistics/randomization/random.ts";
import { studentQuantile } from "../../src/analysis/statistics/student.ts";
import { tableInformation } from "../../src/analysis/statistics/table-information.ts";
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

describe("groups within texts", () => {
  const { sample, group, expert, ...exact } = reference.flips;
  const columns = { sample: Int32Array.from(sample), length: sample.length };
  const grouped = (of: readonly number[]) => ({ names: ["0", "1"], ofRow: Uint8Array.from(of) });
  /** Rows of top-1 routing in two groups, tested by flipping their texts. */
  function tested(
    rows: Int32Array,
    ids: readonly number[],
    groups: readonly number[],
    experts: number,
    ways: number,
  ) {
    const texts = new Set(rows).size;
    const of = grouped(groups);
    const state = startDifferences(of, experts, texts);
    const counts = new Float64Array(2 * experts);
    const sizes = new Float64Array(2);
    ids.forEach((id, row) => {
      counts[groups[row]! * experts + id]!++;
      sizes[groups[row]!]!++;
    });
    const chunk = { from: 0, sample: rows, rows: ids.length, ids: Uint16Array.from(ids), topK: 1 };
    addDifferences(state, of, chunk as unknown as LayerChunk);
    closeText(state);
    const grouping = { groups: 2, rows: sizes, counts, column: 0 };
    const [test] = testGroupings(besideEachOther([state], experts), [grouping], experts, ways, 1);
    return { ...test!, ...contrasts(state, experts, test!.critical) };
  }

  test("all flips of six texts are scipy's", () => {
    const { layer, groups, shares, ...found } = tested(columns.sample, expert, group, 3, 64);
    expect([...shares.pValues]).toEqual(exact.shareP.flat());
    expect([...correctedTogether([shares])[0]!]).toEqual(exact.shareQ);
    expect([...groups.pValues]).toEqual(exact.groupP);
    expect(layer.pValues[0]).toBe(exact.layerP);
    expect(error(found.differences, exact.difference.flat() as number[])).toBeLessThan(1e-12);
    expect(found.information).toBeCloseTo(exact.information, 12);
    expect(found.divergence[0]).toBeCloseTo(exact.js, 12);
  });

  test("runs of alike tokens do not fool it, and routing that drifts does not", () => {
    // The expert of a token depends on a slow stationary walk; which half of the text it is in says nothing.
    let alarms = 0;
    const runs = 100;
    for (let run = 0; run < runs; run++) {
      const random = seededRandom(run + 1);
      const ids: number[] = [];
      const halves: number[] = [];
      for (let text = 0; text < 10; text++) {
        let walk = 0.5 * (random() - 0.5);
        for (let i = 0; i < 40; i++) {
          walk = 0.98 * walk + 0.1 * (random() - 0.5);
          ids.push(Math.max(0, Math.min(3, Math.floor(4 * (walk + 0.5 + 0.2 * (random() - 0.5))))));
          halves.push(+(i >= 20));
        }
      }
      const rows = Int32Array.from(ids, (_, i) => Math.floor(i / 40));
      if (tested(rows, ids, halves, 4, 199).layer.pValues[0]! <= 0.05) alarms++;
    }
    // 5 of 100 are expected; more than 13 have a chance below 0.001.
    expect(alarms).toBeLessThanOrEqual(13);
  });

  test("a class that has its expert in every text is found", () => {
    const rows = Int32Array.from({ length: 300 }, (_, i) => Math.floor(i / 15));
    const groups = Array.from(rows, (_, i) => +(i % 3 === 0));
    const ids = groups.map((of, i) => (of === 1 ? 3 : i % 3));
    const { shares } = tested(rows, ids, groups, 4, 999);
    expect(correctedTogether([shares])[0]![4 + 3]).toBe(0.001);
  });
});

describe("information of a table", () => {
  const tableOf = (experts: number, a: readonly number[], b: readonly number[]) => {
    const table = new Uint32Array(experts * experts);
    a.forEach((of, row) => {
      table[of * experts + b[row]!]!++;
    });
    return tableInformation(table, experts);
  };

  test.each(reference.tables)("is scikit-learn's where its expectation is exact: $experts experts", (of) => {
    const { information, entropy } = tableOf(of.experts, of.a, of.b);
    expect(entropy).toBeCloseTo(Math.min(Math.log2(of.experts), of.entropy), 9);
    if (of.information === null) expect(information).toBeNull();
    else expect(Math.abs(information! - of.information)).toBeLessThan(0.05);
  });

  test("comes within a tenth of what was planted, or says that rows are too few", () => {
    const random = seededRandom(5);
    for (const [experts, rows] of [
      [16, 128],
      [64, 1000],
      [128, 2000],
      [128, 500],
      [256, 8000],
    ] as const)
      for (const keep of [0, 0.5, 0.9]) {
        const draw = () => Math.floor(random() * experts);
        const a = Array.from({ length: rows }, draw);
        const b = a.map((of) => (random() < keep ? (of * 7 + 3) % experts : draw()));
        const same = keep + (1 - keep) / experts;
        const other = (1 - keep) / experts;
        const truth =
          same * Math.log2(same * experts) +
          (keep < 1 ? (experts - 1) * other * Math.log2(other * experts) : 0);
        const { information } = tableOf(experts, a, b);
        if (rows < experts * 8 && experts > 16) expect(information).toBeNull();
        // 128 rows are one draw of what the tenth is the mean of.
        else
          expect(Math.abs(information! - truth)).toBeLessThan(
            0.1 * Math.max(truth, 0.2 * Math.log2(experts)) + (rows === 128 ? 0.4 : 0.05),
          );
      }
  });
});

test("Student's quantiles are scipy's", () => {
  for (const { degrees, p, quantile } of reference.student)
    expect(studentQuantile(p, degrees) / quantile).toBeCloseTo(1, 10);
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
    notFinite: 2,
    mean: 7 / 3,
    deviation: expect.closeTo(Math.sqrt(7 / 3), 12),
    min: 1,
    max: 4,
  });
  expect(all).toMatchObject({ rows: 5, finite: 3, sum: Number.NaN });
  expect(summaryOf(noMoments())).toEqual({
    rows: 0,
    notFinite: 0,
    mean: null,
    deviation: null,
    min: null,
    max: null,
  });
  const merged = mergeMoments(moments([1, Infinity]), moments([2, 4, Number.NaN]));
  expect(summaryOf(merged).mean).toBeCloseTo(7 / 3, 12);
  expect(summaryOf(merged).deviation).toBeCloseTo(Math.sqrt(7 / 3), 12);
  expect(mergeMoments(all, noMoments())).toEqual(all);
  expect(mergeMoments(noMoments(), all)).toEqual(all);
});

test("folds that differ widen the probe's interval, by the variance of Nadeau and Bengio", () => {
  const folds = [0.4, 0.5, 0.6, 0.5, 0.5].map((part) => ({ rows: 10_000, right: 10_000 * part }));
  // A thousand texts that are alike: alone they would be certain.
  const texts = Array.from({ length: 1000 }, () => ({ rows: 50, right: 25 }));
  const [low, high] = accuracyInterval(0.5, 50_000, texts, folds);
  const deviation = Math.sqrt(0.005 * (1 / 5 + 1 / 4));
  // Student's 97.5 % quantile of 4 degrees; Wilson's interval is a little narrower in the middle.
  expect((high - low) / 2 / (2.776 * deviation)).toBeCloseTo(0.97, 1);
});
