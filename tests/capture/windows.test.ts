import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rowMargin } from "../../src/analysis.ts";
import type { Capture } from "../../src/capture/capture.ts";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import { moeLayer, type RequestError, tensor } from "../../src/index.ts";
import { capturePath } from "../store/folder.ts";
import { drive, type SyntheticOptions, syntheticRun } from "../store/synthetic.ts";

const RUN: SyntheticOptions = {
  lengths: [5, 0, 3, 7, 1],
  interleaved: 2,
  streams: ["router_logits", "expert_ids", "expert_outputs", "hidden_states", "attention"],
};

/** The same rows wherever they are, and parts of them. */
async function captures(): Promise<Record<string, Capture>> {
  const memory = await drive(syntheticRun(RUN), new MemorySink());
  const folder = await drive(syntheticRun(RUN), new FolderSink(await capturePath(), { shardBytes: 600 }));
  return Object.fromEntries(
    Object.entries({ memory, folder }).flatMap(([where, all]) => [
      [where, all],
      [`${where}, a sample`, all.sample(2)],
      [`${where}, a sample without rows`, all.sample(1)],
      [`${where}, some samples`, all.only([3, 0])],
      [`${where}, some of some samples`, all.only([0, 2, 3]).only([0, 3])],
      [`${where}, a sample of some`, all.only([4, 2]).sample(4)],
      [`${where}, none`, all.only([])],
    ]),
  );
}

const refusal = (call: () => unknown): Pick<RequestError, "name" | "code" | "message"> => {
  try {
    call();
  } catch (error) {
    const { name, code, message } = error as RequestError;
    return { name, code, message };
  }
  return { name: "", code: "INVALID_ARGUMENT", message: "was accepted" };
};

test("a window holds the rows that the whole layer has there, and any other is refused", async () => {
  const bound = fc.oneof(
    fc.integer({ min: -3, max: 20 }),
    fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, 0.5, -0, 2 ** 31, "1", null, undefined),
  ) as fc.Arbitrary<number>;
  const layer = fc.oneof(
    fc.integer({ min: -2, max: 5 }),
    fc.constantFrom(Number.NaN, 1.5, "1"),
  ) as fc.Arbitrary<number>;
  for (const [where, capture] of Object.entries(await captures())) {
    const rows = capture.rows.length;
    const property = fc.property(
      fc.constantFrom(...capture.streams),
      layer,
      bound,
      bound,
      (name, layer, from, to) => {
        const tensors = capture.stream(name);
        if (!tensors.has(layer)) {
          expect(tensors.get(layer)).toBeUndefined();
          for (const call of [
            () => tensors.rows(layer, 0, 0),
            () => tensors.rowDims(layer),
            () => tensors.width(layer),
          ])
            expect(refusal(call)).toMatchObject({ name: "RequestError", code: "UNKNOWN_LAYER" });
          return;
        }
        const within =
          Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from <= to && to <= rows;
        if (!within) {
          expect(refusal(() => tensors.rows(layer, from, to))).toMatchObject({
            name: "RequestError",
            code: "INVALID_ARGUMENT",
          });
          return;
        }
        const whole = tensors.get(layer)!;
        expect(whole.dims).toEqual([rows, ...tensors.rowDims(layer)]);
        const width = tensors.width(layer);
        const window = tensors.rows(layer, from, to);
        expect(window.dims).toEqual([to - from, ...tensors.rowDims(layer)]);
        expect(window.data).toEqual(whole.data.slice(from * width, to * width));
      },
    );
    expect(() => fc.assert(property, { numRuns: 400 }), where).not.toThrow();
  }
});

test("the values are the run's, whichever way they are reached", async () => {
  const all = await captures();
  const memory = all.memory!;
  const layers = memory.routerLogits;
  for (const [where, capture] of Object.entries(all))
    for (let row = 0; row < capture.rows.length; row++) {
      const at = memory.rows.sample.findIndex(
        (sample, i) =>
          sample === capture.rows.sample[row] && memory.rows.position[i] === capture.rows.position[row],
      );
      expect(capture.routerLogits.rows(3, row, row + 1).data, where).toEqual(layers.rows(3, at, at + 1).data);
    }
});

test("the message says what was asked for and what there is", async () => {
  const { memory } = await captures();
  const first = memory!.sample(0).routerLogits;
  expect(refusal(() => first.rows(1, 0, 7)).message).toBe(
    "there are no rows [0, 7) of router_logits: it has 5; from and to are whole numbers with 0 <= from <= to <= 5",
  );
  expect(refusal(() => first.rows(-1, 0, 1)).message).toBe(
    "no layer -1 of router_logits was captured; there are 1, 3, counted from 0",
  );
});

describe("a capture without rows", () => {
  test("knows how wide a row would be", async () => {
    const run = syntheticRun({ ...RUN, lengths: [0, 0] });
    for (const sink of [new MemorySink(), new FolderSink(await capturePath())]) {
      const capture = await drive(run, sink as MemorySink);
      expect(capture.routerLogits.get(1)!.dims).toEqual([0, 8]);
      expect(capture.expertIds.get(3)!.dims).toEqual([0, 2]);
      expect(capture.expertOutputs.get(3)!.dims).toEqual([0, 2, 6]);
      expect(capture.hiddenStates.get(0)!.dims).toEqual([0, 6]);
      expect(capture.attention.get(0)!.dims).toEqual([0, 3, 5]);
    }
  });
});

describe("samples", () => {
  test.each([-1, 5, 0.5, Number.NaN, "0", null, undefined])("%s is none", async (index) => {
    const { memory } = await captures();
    expect(refusal(() => memory!.sample(index as number))).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(refusal(() => memory!.only([0, index as number]))).toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  test.each([3, "02", undefined, { 0: 1 }])("%s are no list of them", async (samples) => {
    const { memory } = await captures();
    expect(refusal(() => memory!.only(samples as never))).toMatchObject({
      name: "RequestError",
      message: expect.stringContaining("only: the samples must be an array"),
    });
  });
});

describe("what has rows of its own", () => {
  test.each([[[2.5, 2]], [[-2, -3]], [[Number.NaN]], [[3, 3]]])(
    "dims %o are not those of 6 numbers",
    (dims) => {
      expect(refusal(() => tensor("float32", dims, new Float32Array(6)))).toMatchObject({
        name: "RequestError",
        code: "INVALID_ARGUMENT",
      });
    },
  );

  test("a margin is of experts that the logits have", () => {
    const logits = tensor("float32", [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6));
    expect([...rowMargin(logits, [2, 0])]).toEqual([1, -2]);
    expect(refusal(() => rowMargin(logits, [3, 0])).message).toContain("row 0 chose expert 3");
    expect(refusal(() => rowMargin(logits, [1, 0, 2])).message).toContain("not as many in each of 2 rows");
  });

  test.each([0, -1, 4, Number.NaN])("layer %s has no router", async (layer) => {
    const { memory } = await captures();
    expect(refusal(() => moeLayer(memory!.model.moe!, layer))).toMatchObject({ code: "UNKNOWN_LAYER" });
  });
});
