import { describe, expect, test } from "vitest";
import { coactivation } from "../../src/analysis/coactivation.ts";
import { expertUsage } from "../../src/analysis/expert-usage.ts";
import { routingEntropy, routingMargin } from "../../src/analysis/row-means.ts";
import { coefficientOfVariation, loadBalance } from "../../src/analysis/statistics/balance.ts";
import { rowEntropy, rowMargin } from "../../src/analysis/statistics/row-entropy.ts";
import { wilsonInterval } from "../../src/analysis/statistics/wilson.ts";
import { underusedExperts } from "../../src/analysis/underused-experts.ts";
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

  test("names dead and underused experts, and whether the rows suffice to say so", () => {
    const many = underusedExperts({ rows: 1000, counts: Float64Array.of(0, 400, 600, 600, 150, 250) });
    expect(many.map(({ expert, significant }) => [expert, significant])).toEqual([
      [0, true],
      [4, false],
    ]);
    expect(many[0]!.share).toBe(0);
    const few = underusedExperts({ rows: 4, counts: Float64Array.of(0, 2, 2, 2, 1, 1) });
    expect(few.map(({ expert, significant }) => [expert, significant])).toEqual([[0, false]]);
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
  expect(error(pairs.lift, flat(ref.lift))).toBeLessThan(1e-12);
  expect(pairs.neutralLift).toBeCloseTo(ref.neutralLift, 12);
});
