import { describe, expect, test } from "vitest";
import { specialization } from "../../src/analysis/specialization.ts";
import { specializedExperts } from "../../src/analysis/specialized-experts.ts";
import { seededRandom, shuffle } from "../../src/analysis/statistics/randomization/random.ts";
import { error, flat, reference } from "./reference.ts";
import { captureOf } from "./synthetic.ts";

const ref = reference.capture;
const ids = Uint16Array.from(flat(ref.ids));
const capture = captureOf({
  experts: ref.experts,
  topK: ref.topK,
  labels: ref.labels,
  lengths: ref.lengths,
  streams: { expert_ids: ids },
});

describe("specialization", () => {
  test("information and shares against scipy", () => {
    const { labels, layers } = specialization(capture, { permutations: 99 });
    const layer = layers.get(0)!;
    expect(labels).toEqual(["math", "code", "prose"]);
    expect(
      error(
        layer.experts.map((e) => e.mutualInformation),
        ref.information,
      ),
    ).toBeLessThan(1e-12);
    expect(layer.mutualInformation).toBeCloseTo(ref.choiceInformation, 12);
    for (const { expert, byLabel } of layer.experts)
      for (const [label, { count, share }] of byLabel) {
        expect(count).toBe(ref.byLabel[label]!.counts[expert]);
        expect(share).toBe(count / ref.byLabel[label]!.rows);
      }
  });

  test("a seed repeats, another differs", () => {
    const options = { permutations: 199, seed: 1 };
    expect(specialization(capture, options)).toEqual(specialization(capture, options));
    expect(specialization(capture, options)).not.toEqual(specialization(capture, { ...options, seed: 2 }));
  });

  test("p-values come near those of all relabelings, by scipy", () => {
    const { lengths, used, label, shareP, expertP, ...exact } = reference.permutation;
    // Expert 0 or 1 per row: expert 0 serves the first `used` rows of each sample.
    const chosen = Uint16Array.from(
      lengths.flatMap((n, s) => Array.from({ length: n }, (_, i) => +(i >= used[s]!))),
    );
    const labels = label.map((l) => (l === 0 ? "a" : "b"));
    const small = captureOf({ experts: 2, topK: 1, labels, lengths, streams: { expert_ids: chosen } });
    const permutations = 20_000;
    const found = specialization(small, { permutations });
    const expert = found.layers.get(0)!.experts[0]!;
    // Five standard errors of a share of 20 000 draws.
    const within = (p: number) => 5 * Math.sqrt((p * (1 - p)) / permutations);
    expect(Math.abs(expert.byLabel.get("a")!.pValue - shareP)).toBeLessThan(within(shareP));
    expect(Math.abs(expert.pValue - expertP)).toBeLessThan(within(expertP));
    const { difference, halfWidth } = expert.byLabel.get("a")!;
    expect(difference).toBeCloseTo(exact.difference, 12);
    expect(halfWidth! / exact.halfWidth).toBeCloseTo(1, 7);
    expect(found.matchedRows).toBe(exact.matchedRows);
    // The variance behind it is the clustered one of statsmodels.
    expect(exact.variance).toBeCloseTo(exact.clustered, 12);
  });

  test("samples that stick to their experts do not fool it; rows taken as independent do", () => {
    // Labels mean nothing here, but every sample has a favourite expert: one text, one topic.
    let sampleAlarms = 0;
    let rowAlarms = 0;
    const runs = 100;
    for (let run = 0; run < runs; run++) {
      const random = seededRandom(run + 1);
      const lengths = new Array<number>(12).fill(20);
      const chosen = Uint16Array.from(
        lengths.flatMap((n) => {
          const favourite = Math.floor(random() * 4);
          return Array.from({ length: n }, () => (random() < 0.7 ? favourite : Math.floor(random() * 4)));
        }),
      );
      const labels = lengths.map((_, i) => (i % 2 === 0 ? "a" : "b"));
      const nothing = captureOf({ experts: 4, topK: 1, labels, lengths, streams: { expert_ids: chosen } });
      const alarm = (unit: "sample" | "row") =>
        +(specialization(nothing, { unit, permutations: 199, seed: run }).layers.get(0)!.pValue <= 0.05);
      sampleAlarms += alarm("sample");
      rowAlarms += alarm("row");
    }
    // 5 of 100 are expected; more than 13 have a chance below 0.001.
    expect(sampleAlarms).toBeLessThanOrEqual(13);
    expect(rowAlarms).toBeGreaterThan(80);
  });

  test("leaves out samples without a label", () => {
    const labels = ref.labels.map((label) => (label === "prose" ? null : label));
    const some = captureOf({ ...ref, labels, streams: { expert_ids: ids } });
    const { labels: kept, layers } = specialization(some, { permutations: 9 });
    expect(kept).toEqual(["math", "code"]);
    expect(layers.get(0)!.experts[0]!.byLabel.get("math")!.count).toBe(ref.byLabel.math!.counts[0]);
  });

  test("needs two labels", () => {
    const one = captureOf({ ...ref, labels: ref.labels.map(() => "math"), streams: { expert_ids: ids } });
    expect(() => specialization(one)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
    expect(() => specialization(capture, { permutations: 0 })).toThrow(/permutations/);
  });
});

describe("standOuts", () => {
  // Expert 0 serves every row of both labels, 1 serves a, 2 serves b, 3 to 7 the rest alike.
  const lengths = new Array<number>(16).fill(30);
  const labels = lengths.map((_, i) => (i < 8 ? "a" : "b"));
  const chosen = Uint16Array.from(
    lengths.flatMap((n, s) =>
      Array.from({ length: n }, (_, i) => [0, i % 2 === 0 ? 3 + (i % 5) : s < 8 ? 1 : 2]).flat(),
    ),
  );
  const made = captureOf({
    experts: 8,
    topK: 2,
    labels,
    lengths,
    layers: [5],
    streams: { expert_ids: chosen },
  });

  test("are the experts of a label, not those that serve everyone", () => {
    const found = specializedExperts(specialization(made));
    expect(found.map(({ layer, expert, label }) => [layer, expert, label])).toEqual([
      [5, 1, "a"],
      [5, 2, "b"],
    ]);
    expect(found[0]).toMatchObject({ share: 0.5, timesFair: 2, count: 120 });
    expect(found[0]!.pValue).toBeLessThan(0.001);
  });

  test("are none where labels mean nothing", () => {
    const mixed = captureOf({
      experts: 8,
      topK: 2,
      labels: lengths.map((_, i) => "ab"[i % 2]!),
      lengths,
      streams: { expert_ids: chosen },
    });
    expect(specializedExperts(specialization(mixed, { permutations: 999 }))).toEqual([]);
  });
});

test("shuffle: every order equally likely", () => {
  const random = seededRandom(7);
  const seen = new Map<string, number>();
  for (let i = 0; i < 12_000; i++) {
    const values = Int32Array.of(0, 1, 2, 3);
    shuffle(values, random);
    seen.set(values.join(), (seen.get(values.join()) ?? 0) + 1);
  }
  const chiSquare = [...seen.values()].reduce((sum, n) => sum + (n - 500) ** 2 / 500, 0);
  expect(seen.size).toBe(24);
  // 0.999 quantile of chi-square with 23 degrees of freedom.
  expect(chiSquare).toBeLessThan(49.7);
});
