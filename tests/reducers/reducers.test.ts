import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import { coactivation } from "../../src/analysis/coactivation.ts";
import { expertUsage } from "../../src/analysis/expert-usage.ts";
import type { StreamMeasure } from "../../src/analysis/measures/measure.ts";
import { allMeasures, measures } from "../../src/analysis/measures/registry.ts";
import { coactivationReducer } from "../../src/analysis/reducers/coactivation.ts";
import { combine } from "../../src/analysis/reducers/combine.ts";
import { entropyReducer } from "../../src/analysis/reducers/entropy.ts";
import { reducer } from "../../src/analysis/reducers/measure-reducer.ts";
import type { Reducer } from "../../src/analysis/reducers/reducer.ts";
import { usageReducer } from "../../src/analysis/reducers/usage.ts";
import { routingEntropy } from "../../src/analysis/row-means.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import type { RowBatch } from "../../src/core/rows.ts";
import type { StreamName } from "../../src/core/streams.ts";
import { drive, type SyntheticRun, syntheticRun } from "../store/synthetic.ts";

const all = () =>
  combine({ usage: usageReducer(), entropy: entropyReducer(), coactivation: coactivationReducer() });

const run = syntheticRun({ lengths: [40, 7, 0, 23, 31, 9], interleaved: 3 });

/** The rows of a batch that `keep` names, counted through the run. */
function pick(batch: RowBatch, keep: (row: number) => boolean): RowBatch {
  const kept = Array.from({ length: batch.rows }, (_, row) => row).filter(keep);
  const column = <A extends Int32Array | Uint8Array | Float32Array | Uint16Array>(data: A, width = 1): A => {
    const out = data.slice(0, kept.length * width) as A;
    kept.forEach((row, place) => {
      out.set(data.subarray(row * width, (row + 1) * width), place * width);
    });
    return out;
  };
  return {
    rows: kept.length,
    sample: column(batch.sample),
    position: column(batch.position),
    tokenId: column(batch.tokenId),
    phase: column(batch.phase),
    streams: new Map(
      [...batch.streams].map(([name, layers]) => [
        name,
        new Map([...layers].map(([layer, data]) => [layer, column(data, data.length / batch.rows)])),
      ]),
    ),
  };
}

/** The run with its samples dealt to `parts` runs; `deal` says which gets the next one. Runs have different texts. */
function split(whole: SyntheticRun, parts: number, deal: () => number): SyntheticRun[] {
  const dealt = new Map<number, number>();
  const partOf = (sample: number) => {
    if (!dealt.has(sample)) dealt.set(sample, deal());
    return dealt.get(sample)!;
  };
  return Array.from({ length: parts }, (_, part) => ({
    ...whole,
    batches: whole.batches.map((batch) => pick(batch, (row) => partOf(batch.sample[row]!) === part)),
  }));
}

/** Deals samples to so many parts one after the other. */
function inTurn(parts: number): () => number {
  let next = 0;
  return () => next++ % parts;
}

/** Numbers as decimals that rounding of sums does not reach. */
const rounded = (value: unknown) =>
  JSON.parse(JSON.stringify(value, (_, x) => (typeof x === "number" ? Number(x.toPrecision(9)) : x)));

describe("reducers", () => {
  for (const streams of [undefined, ["router_logits"], ["expert_ids", "router_logits"]] as const)
    test(`give what the functions give for the capture of ${streams?.join(", ") ?? "everything"}`, async () => {
      const options = { lengths: [20, 7, 11], ...(streams && { streams: streams as readonly StreamName[] }) };
      const rows = syntheticRun({ ...options, interleaved: 2 });
      const capture = await drive(rows, new MemorySink());
      const { usage, entropy, coactivation: pairs } = await drive(rows, all());
      expect(rounded(usageReducer().toJson(usage))).toEqual(
        rounded(usageReducer().toJson(expertUsage(capture))),
      );
      expect(usage.fairShare).toBe(expertUsage(capture).fairShare);
      expect([...usage.layers.get(1)!.byLabel.keys()]).toEqual(["label 0", "label 1", null]);
      for (const [layer, mean] of routingEntropy(capture)) {
        expect(entropy.layers.get(layer)!.mean).toBeCloseTo(mean, 10);
        expect(entropy.layers.get(layer)!.rows).toBe(38);
      }
      expect(pairs.layers).toEqual(coactivation(capture));
    });

  test("of parts merge to what the whole gives, in any grouping", async () => {
    const whole = rounded(all().toJson(await drive(run, all())));
    await fc.assert(
      fc.asyncProperty(fc.infiniteStream(fc.nat({ max: 2 })), async (deals) => {
        const [a, b, c] = await Promise.all(
          split(run, 3, () => deals.next().value!).map((part) => drive(part, all())),
        );
        const { merge, toJson } = all();
        expect(rounded(toJson(merge(merge(a!, b!), c!)))).toEqual(whole);
        expect(rounded(toJson(merge(a!, merge(b!, c!))))).toEqual(whole);
      }),
      { numRuns: 25 },
    );
  });

  test("take a batch that is filled again", async () => {
    const once = syntheticRun({ lengths: [12], streams: ["router_logits"] });
    const [batch] = once.batches;
    const logits = batch!.streams.get("router_logits") as ReadonlyMap<number, Float32Array>;
    const [one, two] = [all(), all()];
    for (const reducer of [one, two]) await reducer.open(once.header);
    for (const turn of [0, 1]) {
      if (turn === 1) for (const data of logits.values()) data.reverse();
      await one.write(batch!);
      const streams = new Map([
        ["router_logits" as const, new Map([...logits].map(([l, d]) => [l, d.slice()]))],
      ]);
      await two.write({ ...batch!, streams });
    }
    expect(await one.close({ finished: [] })).toEqual(await two.close({ finished: [] }));
  });

  test("come back from JSON as they were", async () => {
    const result = await drive(run, all());
    const text = JSON.stringify(all().toJson(result));
    expect(all().fromJson(JSON.parse(text))).toEqual(result);
  });

  test("count a run without rows and a dense model", async () => {
    const empty = await drive(syntheticRun({ lengths: [0] }), all());
    expect(empty.usage.layers.get(1)!.rows).toBe(0);
    expect(empty.entropy.layers.get(1)).toMatchObject({ rows: 0, mean: Number.NaN });
    expect(all().fromJson(JSON.parse(JSON.stringify(all().toJson(empty))))).toEqual(empty);
    const dense = await drive(syntheticRun({ moeLayers: [] }), all());
    expect(dense.usage).toEqual({ experts: 0, topK: 0, fairShare: 0, layers: new Map() });
  });

  test("are made of every measure that runs on a stream, and give what the analysis of the rows gives", async () => {
    const streamed = [
      measures.usage,
      measures.balance,
      measures.entropy,
      measures.margin,
      measures.routerLosses,
      measures.gateEntropy,
      measures.gateMargin,
    ];
    const rows = syntheticRun({ lengths: [20, 7, 11], streams: ["router_logits"], interleaved: 2 });
    const analysis = await analyzeCapture(await drive(rows, new MemorySink()), { permutations: 9 });
    const of = <R, S>(measure: StreamMeasure<string, R, S>) => reducer(measure);
    for (const measure of streamed) {
      const result = await drive(rows, of(measure as StreamMeasure));
      const expected = analysis.layers.map((layer) => [layer.layer, layer[measure.name]]);
      expect(rounded([...result.layers])).toEqual(rounded(expected));
      const parts = await Promise.all(
        split(rows, 3, inTurn(3)).map((part) => drive(part, of(measure as StreamMeasure))),
      );
      const { merge, toJson, fromJson } = of(measure as StreamMeasure);
      const merged = parts.reduce(merge);
      expect(rounded([...merged.layers])).toEqual(rounded(expected));
      expect(fromJson(JSON.parse(JSON.stringify(toJson(merged))))).toEqual(merged);
    }
    const flows = reducer(measures.flows);
    const [a, b] = await Promise.all(
      split(rows, 2, inTurn(2)).map((part) => drive(part, reducer(measures.flows))),
    );
    const merged = flows.merge(a!, b!);
    expect(rounded(merged.layers.get(-1))).toEqual(rounded(analysis.flows));
    expect(flows.fromJson(JSON.parse(JSON.stringify(flows.toJson(merged))))).toEqual(merged);
    for (const other of allMeasures)
      if (![...streamed, measures.flows].includes(other as (typeof streamed)[0]))
        expect(() => reducer(other as StreamMeasure)).toThrow("this one needs a capture: analyzeCapture");
  });

  test("refuse what they cannot count or merge", async () => {
    const hidden = syntheticRun({ streams: ["hidden_states"] });
    await expect(drive(hidden, usageReducer())).rejects.toThrow(
      "the reducer needs expert_ids or router_logits; the run captures hidden_states",
    );
    const other = syntheticRun({ experts: 16 });
    const refuses = async <R>(reducer: () => Reducer<R>) => {
      const [a, b] = [await drive(run, reducer()), await drive(other, reducer())];
      expect(() => reducer().merge(a, b)).toThrow("8 and 16 experts");
    };
    await refuses(usageReducer);
    await refuses(coactivationReducer);
    expect(() => usageReducer().fromJson({ experts: 2 })).toThrow("the usage is wrong at topK");
    expect(() => coactivationReducer().fromJson([{ layer: 0, rows: 1, experts: 2, counts: [1] }])).toThrow(
      "co-activation",
    );
  });
});
