import { expect, it } from "vitest";
import type { RowBatch } from "../../src/capture/rows.ts";
import { SampleEnds } from "../../src/engines/vllm/sample-ends.ts";

const rows = (...samples: number[]): RowBatch => ({
  rows: samples.length,
  sample: Int32Array.from(samples),
  position: new Int32Array(samples.length),
  tokenId: new Int32Array(samples.length),
  phase: new Uint8Array(samples.length),
  streams: new Map(),
});
const end = (sample: number) => ({ sample, tokens: Int32Array.of(5), text: "x", reason: "eos" }) as const;

/** What is told of two samples, the first with 2 rows and the other with none, in every order. */
const EVENTS: readonly ((ends: SampleEnds) => void)[] = [
  (ends) => ends.arrived(rows(0)),
  (ends) => ends.arrived(rows(0)),
  (ends) => ends.counted(0, 2),
  (ends) => ends.ended(end(0)),
  (ends) => ends.counted(1, 0),
  (ends) => ends.ended(end(1)),
];

function* orders<T>(items: readonly T[]): Generator<T[]> {
  if (items.length === 0) yield [];
  for (const [i, item] of items.entries())
    for (const rest of orders(items.toSpliced(i, 1))) yield [item, ...rest];
}

it("a sample ends once, when its output, its rows and their number are known", () => {
  for (const order of orders([0, 1, 2, 3, 4, 5])) {
    const ends = new SampleEnds(2);
    const told = order.flatMap((event, time) => {
      EVENTS[event]!(ends);
      return ends.take().map(({ sample }) => ({ sample, time }));
    });
    const last = (events: number[]) => Math.max(...events.map((event) => order.indexOf(event)));
    expect(told.sort((a, b) => a.sample - b.sample)).toEqual([
      { sample: 0, time: last([0, 1, 2, 3]) },
      { sample: 1, time: last([4, 5]) },
    ]);
    ends.assertAll();
  }
});

it("what is missing at the end is named", () => {
  const ends = new SampleEnds(2);
  expect(() => ends.assertAll()).toThrow("sample 0 did not end");
  ends.counted(0, 3);
  ends.arrived(rows(0, 0));
  ends.ended(end(0));
  expect(() => ends.assertAll()).toThrow("sample 0 has 2 of 3 rows");
  ends.arrived(rows(0, 0));
  expect(ends.take()).toEqual([]);
  expect(() => ends.assertAll()).toThrow("sample 0 has 4 of 3 rows");
});

it("a sample of another run is an error", () => {
  const ends = new SampleEnds(1);
  for (const wrong of [() => ends.arrived(rows(1)), () => ends.counted(-1, 0), () => ends.ended(end(7))])
    expect(wrong).toThrow(expect.objectContaining({ code: "ENGINE_FAILED" }));
});
