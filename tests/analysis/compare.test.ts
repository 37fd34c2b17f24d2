import { describe, expect, test } from "vitest";
import { compareCaptures } from "../../src/analysis/compare/compare-captures.ts";
import { compareLabels } from "../../src/analysis/compare/compare-labels.ts";
import { testShifts } from "../../src/analysis/compare/shift-test.ts";
import { largestShifts } from "../../src/analysis/compare/usage-shift.ts";
import { specialization } from "../../src/analysis/specialization.ts";
import { type Divergence, divergence } from "../../src/analysis/statistics/logit-divergence.ts";
import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import type { Capture } from "../../src/capture/capture.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import { drive, syntheticRun } from "../store/synthetic.ts";
import { error, flat, reference } from "./reference.ts";
import { captureOf } from "./synthetic.ts";

const ref = reference.comparison;
const shape = {
  experts: ref.experts,
  topK: ref.topK,
  labels: ref.lengths.map(() => null),
  lengths: ref.lengths,
};
const logitsOf = (matrix: typeof ref.a) =>
  captureOf({ ...shape, streams: { router_logits: Float32Array.from(flat(matrix)) } });
const a = logitsOf(ref.a);
const b = logitsOf(ref.b);
const mean = (values: readonly number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;

/** Top-1 captures of two experts, given as text: a digit a row, samples apart by spaces, layers by slashes. */
function routed(text: string, given: Partial<Parameters<typeof captureOf>[0]> = {}): Capture {
  const layers = text.split("/").map((layer) => layer.trim().split(" "));
  const lengths = layers[0]!.map((sample) => sample.length);
  return captureOf({
    experts: 4,
    topK: 1,
    labels: lengths.map(() => null),
    lengths,
    layers: layers.map((_, i) => 2 * i + 1),
    streams: { expert_ids: Uint16Array.from(layers.flat().join(""), Number) },
    ...given,
  });
}

describe("compareCaptures", () => {
  test("takes captures of two engines, which name models differently and may not rank the chosen experts", async () => {
    const run = syntheticRun({ lengths: [6, 7, 5] });
    const swapped = <T extends Uint16Array | Float32Array>(pairs: T) =>
      pairs.map((_, i) => pairs[i ^ 1]!) as T;
    const other = {
      ...run,
      header: {
        ...run.header,
        engine: { kind: "vllm", version: "0.32.0" },
        model: {
          ...run.header.model,
          name: "org/synthetic",
          source: "org/synthetic",
          architecture: "Qwen3MoeForCausalLM",
          quantization: "bfloat16",
          bytes: 9000,
        },
      },
      batches: run.batches.map((batch) => ({
        ...batch,
        streams: new Map(
          [...batch.streams].map(([name, layers]) => [
            name,
            name === "expert_ids" || name === "expert_weights"
              ? new Map([...layers].map(([layer, data]) => [layer, swapped(data as Uint16Array)]))
              : layers,
          ]),
        ),
      })),
    };
    const [llama, vllm] = [await drive(run, new MemorySink()), await drive(other, new MemorySink())];
    expect([...vllm.expertIds.get(1)!.data]).not.toEqual([...llama.expertIds.get(1)!.data]);
    const { exact, layers, onlyA, onlyB } = compareCaptures(llama, vllm);
    expect({ exact, onlyA, onlyB }).toEqual({ exact: 1, onlyA: 0, onlyB: 0 });
    for (const layer of layers.values())
      expect(layer).toMatchObject({ exact: 1, overlap: 1, top1: 1, kl: 0 });
  });

  test("against numpy and scipy", () => {
    const { layers, rows, exact } = compareCaptures(a, b);
    const layer = layers.get(0)!;
    expect(layer.exact).toBeCloseTo(ref.exact, 12);
    expect(exact).toBe(layer.exact);
    expect(layer.top1).toBeCloseTo(ref.top1, 12);
    expect(layer.overlap).toBeCloseTo(mean(ref.overlap), 12);
    expect(error([...rows.overlap], ref.overlap)).toBeLessThan(1e-12);
    expect(error([...rows.js!], ref.js)).toBeLessThan(1e-12);
    expect(layer.js).toBeCloseTo(mean(ref.js), 12);
    expect(layer.kl).toBeCloseTo(mean(ref.kl), 12);
    const column = (name: "shareA" | "shareB" | "pValue" | "qValue") => layer.experts.map((e) => e[name]);
    expect(error(column("shareA"), ref.shareA)).toBeLessThan(1e-12);
    expect(error(column("shareB"), ref.shareB)).toBeLessThan(1e-12);
    // Eight samples: all 256 ways, as scipy does it.
    expect(error(column("pValue"), ref.p)).toBeLessThan(1e-12);
    expect(error(column("qValue"), ref.q)).toBeLessThan(1e-12);
    expect(
      error(
        layer.experts.map((of) => of.halfWidth!),
        ref.halfWidth,
      ),
    ).toBeLessThan(1e-8);
    // The interval and the test are one: 0 is outside where p is at most 0.05.
    for (const { difference, halfWidth, pValue } of layer.experts)
      expect(Math.abs(difference) > halfWidth!).toBe(pValue <= 0.05);
  });

  test("a capture agrees with itself", () => {
    const same = compareCaptures(a, logitsOf(ref.a));
    expect(same).toMatchObject({
      onlyA: 0,
      onlyB: 0,
      divergingTexts: [],
      exact: 1,
      firstDisagreements: [],
      moved: [],
    });
    expect(same.layers.get(0)).toMatchObject({
      exact: 1,
      overlap: 1,
      top1: 1,
      kl: 0,
      js: 0,
      firstToDiffer: 0,
    });
    expect(largestShifts(same)).toEqual([]);
  });

  test("the tokens that moved most come first", () => {
    const { moved } = compareCaptures(a, b, { tokens: 4 });
    const order = [...ref.js.keys()].sort((i, j) => ref.js[j]! - ref.js[i]!);
    expect(moved.map(({ js }) => js)).toEqual(
      order.slice(0, 4).map((row) => expect.closeTo(ref.js[row]!, 12)),
    );
    const { sample, position, text } = moved[0]!;
    expect(a.rows.sample[order[0]!]).toBe(sample);
    expect(a.rows.position[order[0]!]).toBe(position);
    expect(text).toBe(`${position}`);
  });

  test("without logits the experts alone are compared", () => {
    const { layers, rows, moved } = compareCaptures(routed("001 22"), routed("011 22"));
    expect(layers.get(1)).toMatchObject({ exact: 0.8, overlap: 0.8, top1: 0.8, kl: null, js: null });
    expect(rows.js).toBeNull();
    expect(moved).toEqual([
      { sample: 0, position: 1, tokenId: 1, text: "1", js: null, overlap: 0, firstLayer: 1 },
    ]);
  });

  test("the order of a row's experts matters to top-1 alone", () => {
    const pair = { experts: 4, topK: 2, labels: [null], lengths: [2] };
    const [left, right] = [
      [0, 1, 2, 3],
      [1, 0, 2, 1],
    ].map((ids) => captureOf({ ...pair, streams: { expert_ids: Uint16Array.from(ids) } })) as [
      Capture,
      Capture,
    ];
    expect(compareCaptures(left, right).layers.get(0)).toMatchObject({
      exact: 0.5,
      overlap: 0.75,
      top1: 0.5,
    });
  });

  test("first disagreements are first by position, then by layer", () => {
    const { firstDisagreements, layers, rows, exact } = compareCaptures(
      routed("0000 000 00 / 0000 000 00"),
      routed("0001 010 00 / 0100 011 00"),
    );
    expect(firstDisagreements.map(({ sample, position, layer }) => [sample, position, layer])).toEqual([
      [0, 1, 3],
      [1, 1, 1],
    ]);
    expect([...rows.firstLayer]).toEqual([-1, 3, -1, 1, -1, 1, 3, -1, -1]);
    expect([...layers.values()].map(({ firstToDiffer }) => firstToDiffer)).toEqual([2, 2]);
    expect(exact).toBeCloseTo(5 / 9, 12);
  });

  test("rows of one capture alone are counted, and in which layers both were captured decides", () => {
    const whole = routed("0123 3210");
    const part = routed("13 0 2", { positions: [1, 3, 3, 0], promptTokens: [4, 4, 1] });
    const compared = compareCaptures(whole, part);
    expect(compared).toMatchObject({ onlyA: 5, onlyB: 1, exact: 1 });
    expect([...compared.rows.sample]).toEqual([0, 0, 1]);
    expect([...compared.rows.position]).toEqual([1, 3, 3]);
    const deep = routed("0123 3210 / 0000 0000");
    const shallow = routed("0123 3210", { layers: [3] });
    expect([...compareCaptures(deep, shallow).layers.keys()]).toEqual([3]);
    expect(() => compareCaptures(routed("0"), routed("0", { positions: [5] }))).toThrow(/no row/);
  });

  test("generated texts are compared as far as they agree", () => {
    const promptTokens = [2, 2];
    const left = routed("0000 00", { promptTokens, tokenIds: [1, 2, 3, 4, 1, 2] });
    const right = routed("0003 00", { promptTokens, tokenIds: [1, 2, 3, 9, 1, 2] });
    expect(compareCaptures(left, right)).toMatchObject({
      rows: { length: 5 },
      divergingTexts: [{ sample: 0, position: 3 }],
      onlyA: 0,
      exact: 1,
    });
  });

  test("a chunk holds some thousand rows, however they are spread", () => {
    const rows = 10_000;
    const ids = Array.from({ length: rows }, (_, i) => (i * i) % 4);
    const every = (step: number, flip: number) => {
      const kept = ids.flatMap((id, i) => (i % step === 0 ? [[i, id] as const] : []));
      return captureOf({
        experts: 4,
        topK: 1,
        labels: [null],
        lengths: [kept.length],
        promptTokens: [rows],
        positions: kept.map(([i]) => i),
        streams: { expert_ids: Uint16Array.from(kept, ([i, id]) => (i >= flip ? 3 - id : id)) },
      });
    };
    const { onlyA, onlyB, layers } = compareCaptures(every(1, rows), every(5, 8000));
    expect([onlyA, onlyB]).toEqual([8000, 0]);
    expect(layers.get(0)!.exact).toBe(0.8);
  });
});

describe("what cannot be compared says why", () => {
  const text = (ids: readonly number[], texts: Record<number, string>, more = {}) =>
    routed("0".repeat(ids.length), { tokenIds: ids, tokenText: (id) => texts[id]!, ...more });
  const texts = { 1: "hel", 2: "lo", 3: "hello", 4: " you", 5: " me", 6: "he", 7: "llo" };

  test.each([
    [
      "another length",
      [1, 2, 4],
      [3, 4],
      /sample 0, position 0, A has "hel" \(token 1\).*tokenisation differs/,
    ],
    ["the same length", [1, 2], [6, 7], /position 0.*tokenisation differs/],
    ["another prompt", [3, 4], [3, 5], /position 1, A has " you" \(token 4\).*The prompts differ/],
    ["a longer prompt", [3], [3, 5], /position 1, A has nothing in a prompt of length 1.*The prompts differ/],
  ])("%s", (_, left, right, message) => {
    const compare = () => compareCaptures(text(left, texts), text(right, texts));
    expect(compare).toThrow(message);
    expect(compare).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });

  test("other models", () => {
    expect(() => compareCaptures(routed("0"), routed("0", { experts: 8 }))).toThrow(/has 4 experts, B .* 8/);
    expect(() => compareCaptures(routed("0"), routed("0/0"))).toThrow(/has 2 layers, B .* 4/);
    expect(() => compareCaptures(a, b, { permutations: 0.5 })).toThrow(/permutations/);
  });
});

test("divergence of routers that are certain, alike or overflow", () => {
  const of = (p: readonly number[], q: readonly number[]): Divergence => {
    const out = { kl: 0, js: 0 };
    divergence(Float32Array.from(p), 0, Float32Array.from(q), 0, p.length, out);
    return out;
  };
  expect(of([0, -1e4], [-1e4, 0])).toEqual({ kl: 1e4, js: expect.closeTo(Math.LN2, 12) });
  expect(of([3e38, 0], [3e38, 0])).toEqual({ kl: 0, js: 0 });
  expect(of([5, 6, 7], [1, 2, 3])).toEqual({ kl: 0, js: 0 });
  expect(of([0, 0], [0, -Infinity])).toEqual({ kl: Infinity, js: expect.closeTo(0.2158, 4) });
  expect(of([0, -Infinity], [0, 0]).kl).toBeCloseTo(Math.LN2, 12);
});

describe("the sign-flip test", () => {
  const pValues = (...of: Parameters<typeof testShifts>) => testShifts(...of).tested.pValues;
  const differences = (values: readonly number[]) => ({
    rows: new Float64Array(values.length).fill(9),
    offsets: Uint32Array.from({ length: values.length + 1 }, (_, i) => i),
    columns: new Uint16Array(values.length),
    values: Int32Array.from(values),
  });

  test("random ways come near all of them", () => {
    const units = differences([3, 1, -2, 4, 2, -1, 5, 1, 2]);
    const [exact] = pValues(units, 1, 512, 0);
    const [random] = pValues(units, 1, 511, 0);
    expect(exact! * 512).toBe(Math.round(exact! * 512));
    // Five standard errors of a share of 511 draws.
    expect(Math.abs(random! - exact!)).toBeLessThan(5 * Math.sqrt((exact! * (1 - exact!)) / 511));
    expect(pValues(units, 1, 511, 0)).toEqual(pValues(units, 1, 511, 0));
  });

  test("nothing to swap is no evidence, and two units are little", () => {
    expect([...pValues(differences([]), 3, 99, 0)]).toEqual([1, 1, 1]);
    expect([...pValues(differences([9, 9]), 1, 99, 0)]).toEqual([0.5]);
  });

  test("keeps its level when samples move as a whole", () => {
    const random = seededRandom(3);
    let alarms = 0;
    for (let run = 0; run < 400; run++) {
      const units = differences(Array.from({ length: 16 }, () => Math.round(20 * (random() - 0.5) ** 3)));
      alarms += +(pValues(units, 1, 199, run)[0]! <= 0.05);
    }
    // 20 of 400 are expected; more than 35 have a chance below 0.001.
    expect(alarms).toBeLessThanOrEqual(35);
  });
});

describe("compareLabels", () => {
  const of = reference.capture;
  const capture = captureOf({ ...of, streams: { expert_ids: Uint16Array.from(flat(of.ids)) } });

  test("shares of two labels, others left out", () => {
    const { labels, samples, rows, layers } = compareLabels(capture, "code", "math", { permutations: 99 });
    expect(labels).toEqual(["code", "math"]);
    expect(samples).toEqual([4, 4]);
    expect(rows).toEqual([of.byLabel.code!.rows, of.byLabel.math!.rows]);
    for (const { expert, shareA, shareB, difference } of layers.get(0)!.experts) {
      expect(shareA).toBeCloseTo(of.byLabel.code!.counts[expert]! / rows[0], 12);
      expect(shareB).toBeCloseTo(of.byLabel.math!.counts[expert]! / rows[1], 12);
      expect(difference).toBe(shareB - shareA);
    }
  });

  test("is the specialization test where there are two labels", () => {
    const labels = of.labels.map((label) => (label === "prose" ? null : label));
    const two = captureOf({ ...of, labels, streams: { expert_ids: Uint16Array.from(flat(of.ids)) } });
    const options = { permutations: 199, seed: 4 };
    const compared = compareLabels(two, "math", "code", options).layers.get(0)!;
    const { pValue, experts } = specialization(two, options).layers.get(0)!;
    expect(compared.pValue).toBe(pValue);
    expect(compared.experts.map((e) => e.pValue)).toEqual(experts.map((e) => e.pValue));
  });

  test("names the labels there are", () => {
    expect(() => compareLabels(capture, "math", "poetry")).toThrow(/the labels are math, code, prose/);
    expect(() => compareLabels(capture, "math", "math")).toThrow(/twice/);
    expect(() => compareLabels(a, "x", "y")).toThrow(/no labels/);
  });
});
