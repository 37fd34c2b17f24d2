import { expect, it } from "vitest";
import type { Step } from "../../src/core/engine.ts";
import type { EngineRequest } from "../../src/core/request.ts";
import type { RowBatch } from "../../src/core/rows.ts";
import { SampleEnds } from "../../src/engines/vllm/sample-ends.ts";

const PROMPT = Int32Array.of(1, 2);

const rows = (...samples: number[]): RowBatch => ({
  rows: samples.length,
  sample: Int32Array.from(samples),
  position: new Int32Array(samples.length),
  tokenId: new Int32Array(samples.length).fill(PROMPT[0]!),
  phase: new Uint8Array(samples.length),
  streams: new Map(),
});
/** All of a sample's rows have been announced. */
const all = (sample: number, count: number) => ({ sample, rows: count, how: "complete" }) as const;
const end = (sample: number, tokens = 1) =>
  ({ sample, tokens: new Int32Array(tokens), text: "x", reason: "eos" }) as const;
const request = (stop: readonly string[] = []): EngineRequest => ({
  tokens: PROMPT,
  maxTokens: 4,
  sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, stop, ignoreEos: false },
});

/** What is told of two samples, the first with 2 rows and the other with none, in every order. */
const EVENTS: readonly ((ends: SampleEnds) => Iterable<Step>)[] = [
  (ends) => ends.arrived(rows(0)),
  (ends) => ends.arrived(rows(0)),
  (ends) => ends.counted(all(0, 2)),
  (ends) => ends.stepped([], 1, [end(0)]),
  (ends) => ends.counted(all(1, 0)),
  (ends) => ends.stepped([], 0, [end(1)]),
];

function* orders<T>(items: readonly T[]): Generator<T[]> {
  if (items.length === 0) yield [];
  for (const [i, item] of items.entries())
    for (const rest of orders(items.toSpliced(i, 1))) yield [item, ...rest];
}

it("a sample ends once, after its rows, when its output and their number are known", () => {
  const problems: number[][] = [];
  for (const order of orders([0, 1, 2, 3, 4, 5])) {
    const ends = new SampleEnds([request(), request()]);
    const told = order.flatMap((event, time) =>
      [...EVENTS[event]!(ends)].flatMap(({ finished }) => finished.map(({ sample }) => [sample, time])),
    );
    ends.assertAll();
    const last = (events: number[]) => Math.max(...events.map((event) => order.indexOf(event)));
    const expected = [
      [0, last([0, 1, 2, 3])],
      [1, last([4, 5])],
    ];
    if (JSON.stringify(told.sort(([a], [b]) => a! - b!)) !== JSON.stringify(expected)) problems.push(order);
  }
  expect(problems).toEqual([]);
});

it("what is missing at the end is named", () => {
  const ends = new SampleEnds([request(), request()]);
  expect(() => ends.assertAll()).toThrow("sample 0 did not end");
  const told = [...ends.counted(all(0, 3)), ...ends.arrived(rows(0, 0)), ...ends.stepped([], 0, [end(0)])];
  expect(() => ends.assertAll()).toThrow("sample 0 has 2 of 3 rows");
  told.push(...ends.arrived(rows(0, 0)));
  expect(told.flatMap(({ finished }) => finished)).toEqual([]);
  expect(() => ends.assertAll()).toThrow("sample 0 has 4 of 3 rows");
});

it("rows beyond a stop string are kept back, and dropped when the text is known", () => {
  const ends = new SampleEnds([request(["."])]);
  const batch = (position: number[], phase: number[]): RowBatch => ({
    ...rows(...position.map(() => 0)),
    position: Int32Array.from(position),
    tokenId: Int32Array.from(position, (at) => PROMPT[at] ?? 0),
    phase: Uint8Array.from(phase),
  });
  const positions = (steps: Iterable<Step>) =>
    [...steps].flatMap((step) => [...(step.batch?.position ?? [])]);
  expect(positions(ends.arrived(batch([0, 1, 2], [0, 0, 1])))).toEqual([0, 1]);
  expect(positions(ends.arrived(batch([3, 4], [1, 1])))).toEqual([]);
  expect(positions(ends.counted(all(0, 5)))).toEqual([]);
  // Two tokens were drawn: the second never went through the model.
  expect(positions(ends.stepped([], 0, [end(0, 2)]))).toEqual([2]);
});

it("a sample of another run is an error", () => {
  const ends = new SampleEnds([request()]);
  for (const wrong of [
    () => ends.arrived(rows(1)),
    () => ends.counted(all(-1, 0)),
    () => ends.stepped([], 0, [end(7)]),
  ])
    expect(() => [...wrong()]).toThrow(expect.objectContaining({ code: "ENGINE_FAILED" }));
});

it("a sample that is lost leaves the others whole, and another request may still complete it", () => {
  const ends = new SampleEnds([request(), request()]);
  const aborted = { sample: 0, rows: 1, how: "aborted" } as const;
  const told = [...ends.arrived(rows(0)), ...ends.counted(aborted)];
  told.push(...ends.counted(all(1, 0)), ...ends.stepped([], 1, [end(1)]));
  expect(told.flatMap(({ finished }) => finished.map(({ sample }) => sample))).toEqual([1]);
  expect(ends.settled).toBe(true);
  expect(() => ends.assertAll()).toThrow("sample 0 was not completed: its request was aborted");
  const more = [...ends.counted(all(0, 1)), ...ends.stepped([], 1, [end(0)])];
  expect(more.flatMap(({ finished }) => finished.map(({ sample }) => sample))).toEqual([0]);
  expect(() => ends.assertAll()).not.toThrow();
});

it("a row under another token's label is an error: it may be another user's", () => {
  const ends = new SampleEnds([request()]);
  const labelled = (at: number, token: number): RowBatch => ({
    ...rows(0),
    position: Int32Array.of(at),
    tokenId: Int32Array.of(token),
  });
  expect(() => [...ends.arrived(labelled(1, 7))]).toThrow("a row of token 7 as sample 0's at position 1");
  const generated = new SampleEnds([request()]);
  const told = [...generated.arrived(rows(0)), ...generated.arrived(labelled(2, 7))];
  expect(told.flatMap(({ batch }) => (batch ? [...batch.tokenId] : []))).toEqual([1, 7]);
  expect(() => [...generated.counted(all(0, 2)), ...generated.stepped([], 2, [end(0, 1)])]).toThrow(
    "where it has token 0",
  );
});
