import { describe, expect, test } from "vitest";
import { coactivation } from "../../src/analysis/coactivation.ts";
import { expertUsage } from "../../src/analysis/expert-usage.ts";
import { usageReducer } from "../../src/analysis/reducers/usage.ts";
import { routingEntropy, routingMargin } from "../../src/analysis/row-means.ts";
import { coefficientOfVariation, loadBalance } from "../../src/analysis/statistics/balance.ts";
import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import { rowEntropy, rowMargin } from "../../src/analysis/statistics/row-entropy.ts";
import { wilsonInterval } from "../../src/analysis/statistics/wilson.ts";
import { underusedExperts } from "../../src/analysis/underused-experts.ts";
import { usageTable } from "../../src/export/usage-table.ts";
import { error, flat, float32, reference } from "./reference.ts";
import { captureOf, SOFTMAX } from "./synthetic.ts";

const ref = reference.capture;
const logits = float32(ref.logits);
const ids = Uint16Array.from(flat(ref.ids));
const shape = { experts: ref.experts, topK: ref.topK, labels: ref.labels, lengths: ref.lengths };
const mean = (values: readonly number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;

describe("expertUsage", () => {
  test("from logits, by the model's own gating", () => {
    const usage = expertUsage(captureOf({ ...shape, layers: [3], streams: { router_logits: logits.data } }));
    expect(usage.fairShare).toBe(0.25);
    expect([...usage.layers.keys()]).toEqual([3]);
    const layer = usage.layers.get(3)!;
    expect([...layer.counts]).toEqual(ref.counts);
    expect(error(layer.weights!, ref.weights)).toBeLessThan(1e-6);
    expect([...layer.byLabel.keys()]).toEqual(["math", "code", "prose"]);
    for (const [label, { rows, counts }] of layer.byLabel)
      expect({ rows, counts: [...counts] }).toEqual(ref.byLabel[label!]);
  });

  test("from the captured experts, which win over the logits", () => {
    const flipped = logits.data.map((x) => -x);
    const capture = captureOf({ ...shape, streams: { router_logits: flipped, expert_ids: ids } });
    const layer = expertUsage(capture).layers.get(0)!;
    expect([...layer.counts]).toEqual(ref.counts);
    expect(layer.weights).toBeNull();
  });

  test("spans chunks of rows", () => {
    const rows = 10_000;
    const many = Uint16Array.from({ length: rows * 2 }, (_, i) => (i % 2 === 0 ? 0 : 1 + (i % 7)));
    const capture = captureOf({
      experts: 8,
      topK: 2,
      labels: [null],
      lengths: [rows],
      streams: { expert_ids: many },
    });
    const { counts, byLabel } = expertUsage(capture).layers.get(0)!;
    expect(counts[0]).toBe(rows);
    expect(counts.reduce((a, b) => a + b)).toBe(2 * rows);
    expect([...byLabel.keys()]).toEqual([null]);
  });

  test("does not guess a choice that took a learned bias", () => {
    const gating = { ...SOFTMAX, selectionBias: true };
    const capture = captureOf({ ...shape, gating, streams: { router_logits: logits.data } });
    expect(() => expertUsage(capture)).toThrow(/capture expert_ids/);
  });

  test("does not count an expert that the model has not", () => {
    const capture = captureOf({ ...shape, streams: { expert_ids: ids.map(() => 8) } });
    expect(() => expertUsage(capture)).toThrow(expect.objectContaining({ code: "CAPTURE_INVALID" }));
  });

  test("says which streams it needs", () => {
    const capture = captureOf({ ...shape, streams: { hidden_states: logits.data } });
    expect(() => expertUsage(capture)).toThrow(expect.objectContaining({ code: "UNKNOWN_STREAM" }));
  });
});

describe("balance", () => {
  test("against numpy and scipy", () => {
    const { cv, maxVio, entropy } = loadBalance(ref.counts);
    expect(error([cv, maxVio, entropy], [ref.cv, ref.maxVio, ref.entropy])).toBeLessThan(1e-8);
  });

  test("even and empty layers", () => {
    expect(loadBalance([3, 3, 3, 3])).toEqual({ cv: 0, maxVio: 0, entropy: 1 });
    expect(coefficientOfVariation([0, 0, 0])).toBe(0);
  });

  test.each(reference.wilson)("Wilson interval of $count in $rows at $confidence", (c) => {
    expect(error(wilsonInterval(c.count, c.rows, c.confidence), c.interval)).toBeLessThan(1e-12);
  });

  test("names dead and underused experts, and whether the texts suffice to say so", () => {
    /** As many texts of ten rows, each using the experts alike. */
    const alike = (texts: number, shares: readonly number[]) => ({
      rows: 10 * texts,
      counts: Float64Array.from(shares, (share) => 10 * texts * share),
      spread: {
        ...{ texts, units: texts, nn: 100 * texts },
        cc: Float64Array.from(shares, (share) => texts * (10 * share) ** 2),
        cn: Float64Array.from(shares, (share) => 100 * texts * share),
      },
    });
    const shares = [0, 0.4, 0.6, 0.6, 0.15, 0.25];
    const found = (texts: number) =>
      underusedExperts(alike(texts, shares)).map(({ expert, significant }) => [expert, significant]);
    expect(found(100)).toEqual([
      [0, true],
      [4, false],
    ]);
    expect(found(10_000)).toEqual([
      [0, true],
      [4, true],
    ]);
    expect(found(4)).toEqual([
      [0, false],
      [4, false],
    ]);
    expect(underusedExperts({ ...alike(100, shares), spread: null })[0]).toMatchObject({
      interval: [0, 1],
      significant: false,
    });
  });

  test("one long text is certain of nothing, and intervals hold shares of texts drawn whole", () => {
    const random = seededRandom(11);
    const gauss = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    /** Texts with a topic each, top-1 of 8 experts; the truth is the mean over all topics: the experts are alike. */
    const capture = (texts: number) => {
      const ids: number[] = [];
      for (let text = 0; text < texts; text++) {
        const weights = Array.from({ length: 8 }, () => Math.exp(gauss()));
        const total = weights.reduce((sum, w) => sum + w, 0);
        for (let row = 0; row < 60; row++) {
          let at = random() * total;
          let expert = 0;
          for (; expert < 7 && at > weights[expert]!; expert++) at -= weights[expert]!;
          ids.push(expert);
        }
      }
      const labels = new Array<null>(texts).fill(null);
      const lengths = labels.map(() => 60);
      return captureOf({
        experts: 8,
        topK: 1,
        labels,
        lengths,
        streams: { expert_ids: Uint16Array.from(ids) },
      });
    };
    const one = expertUsage(capture(1)).layers.get(0)!;
    expect(
      underusedExperts(one).every(({ interval, significant }) => !significant && interval[1] === 1),
    ).toBe(true);
    for (const texts of [6, 30, 100]) {
      let covered = 0;
      let wilson = 0;
      for (let run = 0; run < 40; run++)
        for (const { share, low, high, count, rows } of usageTable(expertUsage(capture(texts)))) {
          expect(share).toBe(count / rows);
          covered += +(low <= 1 / 8 && 1 / 8 <= high);
          const [from, to] = wilsonInterval(count, rows, 0.95);
          wilson += +(from <= 1 / 8 && 1 / 8 <= to);
        }
      // Each share stands in two lines: of all rows, and of those without a label.
      expect(covered / 640).toBeGreaterThan(0.9);
      expect(wilson / 640).toBeLessThan(0.7);
    }
  });

  test("two runs have the spread of all their texts", () => {
    const parts = [3, 5].map((seed) => {
      const random = seededRandom(seed);
      const lengths = [9, 4, 7];
      const ids = Uint16Array.from({ length: 20 }, () => Math.floor(random() * 4));
      return { labels: ["a", "b", "a"], lengths, ids };
    });
    const of = ({ labels, lengths, ids }: (typeof parts)[number]) =>
      captureOf({ experts: 4, topK: 1, labels, lengths, streams: { expert_ids: ids } });
    const whole = expertUsage(
      of({
        labels: parts.flatMap(({ labels }) => labels),
        lengths: parts.flatMap(({ lengths }) => lengths),
        ids: Uint16Array.from(parts.flatMap(({ ids }) => [...ids])),
      }),
    ).layers.get(0)!;
    const reducer = usageReducer();
    const [left, right] = parts.map((part) => expertUsage(of(part)));
    const read = reducer.fromJson(JSON.parse(JSON.stringify(reducer.toJson(left!))));
    const merged = reducer.merge(read, right!).layers.get(0)!;
    expect(merged.spread).toEqual(whole.spread);
    expect(merged.byLabel.get("a")!.spread).toEqual(whole.byLabel.get("a")!.spread);
  });
});

describe("entropy and margin", () => {
  test("per row against scipy", () => {
    expect(error(rowEntropy(logits), ref.rowEntropy)).toBeLessThan(1e-9);
    expect(error(rowMargin(logits, ids), ref.rowMargin)).toBeLessThan(1e-12);
  });

  test("per row of logits that lie too far apart for the quick way, and of masked ones", () => {
    const rows = [
      [0, 500, 500, -500],
      [-Infinity, 3, 3, -Infinity],
      [200, -200, -200, -200],
    ];
    const { length } = rows[0]!;
    const data = Float32Array.from(rows.flat());
    const entropies = rowEntropy({ type: "float32", dims: [rows.length, length], data });
    expect(error(entropies, [Math.LN2, Math.LN2, 0])).toBeLessThan(1e-9);
  });

  test("means of a capture and of a plain Map agree", () => {
    const capture = captureOf({ ...shape, streams: { router_logits: logits.data } });
    expect(routingEntropy(capture).get(0)).toBeCloseTo(mean(ref.rowEntropy), 9);
    expect(routingEntropy(capture.routerLogits).get(0)).toBeCloseTo(mean(ref.rowEntropy), 9);
    expect(routingEntropy(new Map(capture.routerLogits)).get(0)).toBeCloseTo(mean(ref.rowEntropy), 9);
    expect(routingMargin(capture).get(0)).toBeCloseTo(mean(ref.rowMargin), 9);
  });

  test("certain, undecided and overruled routers", () => {
    const rows = float32([
      [0, -1e4, -1e4, "-inf"],
      [7, 7, 7, 7],
      [1, 2, 3, 4],
    ]);
    expect([...rowEntropy(rows)]).toEqual([0, Math.log(4), expect.closeTo(0.9475, 3)]);
    expect([...rowMargin(rows, [0, 0, 1])]).toEqual([1e4, 0, -2]);
    expect([...rowMargin(float32([[1, 2]]), [1, 0])]).toEqual([Infinity]);
  });
});

test("coactivation against numpy", () => {
  const pairs = coactivation(captureOf({ ...shape, streams: { expert_ids: ids } })).get(0)!;
  expect([...pairs.counts]).toEqual(flat(ref.pairs));
  expect(error(pairs.lift, flat(ref.lift))).toBeLessThan(1e-9);
});
