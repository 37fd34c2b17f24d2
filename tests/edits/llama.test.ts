import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import type { Edit } from "../../src/core/edits.ts";
import type { LanguageModel } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import { withNumber } from "../fixtures/edited-gguf.ts";
import { ggufOf, maxDifference, PLAIN_STREAMS } from "../fixtures/families.ts";

const EXACT = { kvType: "f32", flashAttention: false, threads: 1, contextSize: 512 } as const;
const IDS = [5, 17, 33, 9, 21, 40, 12, 3, 27, 14];
const OTHER = [40, 8, 15, 16, 23, 42];
const streams = PLAIN_STREAMS;
const ignoreEos = true;

/** Softmax, softmax of the chosen, sigmoid with a bias and groups, weights on inputs. */
const GATES = ["olmoe", "mixtral", "gpt_oss", "deepseek_v3", "llama4"];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "moescope-edits-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** All values of two captures, bit for bit. */
function expectSame(a: Capture, b: Capture): void {
  expect(a.rows.length).toBe(b.rows.length);
  for (const stream of a.streams)
    for (const [layer, { data }] of a.stream(stream))
      expect(
        Buffer.compare(bytes(data), bytes(b.stream(stream).get(layer)!.data)),
        `${stream} ${layer}`,
      ).toBe(0);
}
const bytes = (data: ArrayBufferView) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

function furthest(a: Capture, b: Capture): number {
  return Math.max(
    ...a.streams.flatMap((stream) =>
      [...a.stream(stream)].map(([layer, { data }]) =>
        maxDifference(data, b.stream(stream).get(layer)!.data),
      ),
    ),
  );
}

describe.each(GATES)("edits of %s", (family) => {
  let llm: LanguageModel;
  let plain: Capture;
  const edited = (edits: readonly Edit[], more: object = {}) =>
    llm.capture([IDS], { streams, ignoreEos, edits, maxTokens: 5, ...more });

  beforeAll(async () => {
    llm = await load(ggufOf(family), EXACT);
    plain = await edited([]);
  });
  afterAll(() => llm.close());

  it("an edit of nothing changes no bit, and none is left behind", async () => {
    const vector = new Float32Array(llm.info.hiddenSize);
    expectSame(await edited([{ bias: { 0: 0 } }, { add: vector, layers: [0, 1] }]), plain);
    const banned = await edited([{ ban: [1] }]);
    expect(furthest(banned, plain)).toBeGreaterThan(1e-2);
    expectSame(await edited([]), plain);
  });

  it("a banned expert is not used, a forced one is", async () => {
    for (const [, { data }] of (await edited([{ ban: [1] }])).expertIds) expect(data).not.toContain(1);
    for (const [, { data, dims }] of (await edited([{ force: [1] }])).expertIds)
      data.forEach((id, i) => {
        if (i % dims[1]! === 0) expect(id).toBe(1);
      });
  });

  it("two opposite edits in one batch are each as alone", async () => {
    const a: Edit = { ban: [1] };
    const b: Edit = { force: [1], layers: [llm.info.moe!.layers.at(-1)!] };
    const options = { streams, ignoreEos, maxTokens: 4 };
    const together = await llm.capture(
      [{ tokenIds: IDS, edits: [a] }, { tokenIds: OTHER, edits: [b] }, { tokenIds: IDS }],
      options,
    );
    const alone = [
      await llm.capture([IDS], { ...options, edits: [a] }),
      await llm.capture([OTHER], { ...options, edits: [b] }),
      await llm.capture([IDS], options),
    ];
    alone.forEach((capture, i) => {
      const of = together.sample(i);
      expect(together.outputs[i]!.tokens).toEqual(capture.outputs[0]!.tokens);
      for (const [layer, { data }] of capture.expertIds) expect(of.expertIds.get(layer)!.data).toEqual(data);
      // What shares a batch rounds otherwise in the last bits.
      expect(furthest(of, capture)).toBeLessThan(1e-4);
    });
    expect(furthest(together.sample(0), together.sample(2))).toBeGreaterThan(1e-2);
  });

  it("generated rows alone, or the prompt's last, leave those before as they are", async () => {
    for (const [select, from] of [
      [{ phase: "generated" }, IDS.length],
      [{ phase: "prompt", last: 3 }, IDS.length - 3],
      [{ positions: [4, 6] }, 4],
    ] as const) {
      const vector = new Float32Array(llm.info.hiddenSize).fill(0.5);
      const capture = await edited([
        { bias: { 1: 3 }, select },
        { add: vector, layers: [1], select },
      ]);
      for (const [layer, { data, dims }] of capture.hiddenStates)
        expect(data.subarray(0, from * dims[1]!)).toEqual(
          plain.hiddenStates.get(layer)!.data.subarray(0, from * dims[1]!),
        );
      expect(furthest(capture, plain)).toBeGreaterThan(1e-2);
    }
  });

  it("a replay of a run gives its values, and of its experts alone its experts", async () => {
    const biased = await edited([{ bias: { 1: 1.5, 2: -1 } }], { maxTokens: 0 });
    const replayed = await edited([{ replay: biased }], { maxTokens: 0 });
    for (const stream of ["expert_ids", "expert_weights", "hidden_states"] as const)
      for (const [layer, { data }] of biased.stream(stream))
        expect(Buffer.compare(bytes(data), bytes(replayed.stream(stream).get(layer)!.data))).toBe(0);
    const own = await edited([{ replay: biased, weights: "own" }], { maxTokens: 0 });
    for (const [layer, { data }] of biased.expertIds) expect(own.expertIds.get(layer)!.data).toEqual(data);
    expectSame(await edited([{ replay: plain, weights: "own" }]), plain);
    expectSame(await edited([{ replay: plain }]), plain);
  });

  it("fewer experts are what a file that says so computes", async () => {
    if (llm.info.moe!.topK < 2) return;
    const gguf = join(folder, `${family}.gguf`);
    withNumber(ggufOf(family), gguf, `${llm.info.architecture}.expert_used_count`, 1);
    const other = await load(gguf, EXACT);
    const expected = await other.capture([IDS], { streams, ignoreEos, maxTokens: 5 });
    await other.close();
    const fewer = await edited([{ topK: 1 }]);
    expect(fewer.model.moe!.topK).toBe(1);
    for (const [layer, { data, dims }] of fewer.expertIds) {
      expect(dims[1]).toBe(1);
      expect(data).toEqual(expected.expertIds.get(layer)!.data);
    }
    expect(furthest(fewer, expected)).toBeLessThan(1e-4);
  });

  it("copied values are those of redirected ones", async () => {
    const edits: Edit[] = [
      { ban: [1], select: { phase: "prompt" } },
      { add: Float32Array.from({ length: llm.info.hiddenSize }, (_, i) => Math.sin(i)), layers: [1] },
    ];
    const redirected = await edited(edits);
    const copying = await load(ggufOf(family), { ...EXACT, strategy: "copy" });
    const copied = await copying.capture([IDS], { streams, ignoreEos, edits, maxTokens: 5 });
    await copying.close();
    expectSame(copied, redirected);
  });

  it("a folder tells its edits and is opened with them", async () => {
    const edits: Edit[] = [{ ban: [1], layers: [llm.info.moe!.layers[0]!], select: { phase: "generated" } }];
    const into = join(folder, `${family}-capture`);
    const capture = await llm.capture([{ tokenIds: IDS, edits: [{ force: [0] }] }], { edits, into });
    expect(capture.edits).toEqual(edits);
    expect(capture.samples[0]!.edits).toEqual([{ force: [0] }]);
  });
});

describe("edits that cannot be made", () => {
  let llm: LanguageModel;
  beforeAll(async () => {
    llm = await load(ggufOf("deepseek_v3"), EXACT);
  });
  afterAll(() => llm.close());

  it.each<[string, Edit, RegExp]>([
    ["a dense layer", { ban: [0], layers: [0] }, /layer 0 is dense/],
    ["no such layer", { ban: [0], layers: [9] }, /unknown layer 9/],
    ["no such expert", { ban: [8] }, /has no expert 8; it has experts 0 to 7/],
    ["too few left", { ban: [0, 1, 2, 3, 4, 5, 6] }, /leaves fewer than the 2 it uses/],
    ["groups without enough", { ban: [0, 3, 7] }, /chosen from 2 of 4 groups/],
    ["too many forced", { force: [0, 1, 2] }, /3 experts are forced, and it uses 2/],
    ["a vector of another size", { add: [1, 2], layers: [1] }, /the vector has 2 values/],
    ["more experts", { topK: 3 }, /more than the 2 experts/],
    ["last of what is generated", { ban: [0], select: { last: 2 } }, /phase: "prompt"/],
  ])("%s", async (_, edit, message) => {
    await expect(llm.capture([IDS], { maxTokens: 2, edits: [edit] })).rejects.toThrow(message);
  });

  it("banned and forced at once, a replay beside others, topK of one prompt", async () => {
    const tell = (edits: Edit[]) => llm.capture([IDS], { edits });
    await expect(tell([{ ban: [0] }, { force: [0] }])).rejects.toThrow(/both banned and forced/);
    const recorded = await llm.capture([IDS]);
    await expect(tell([{ ban: [0] }, { replay: recorded }])).rejects.toThrow(/says all experts of a token/);
    await expect(llm.capture([OTHER], { edits: [{ replay: recorded }] })).rejects.toThrow(/another prompt/);
    await expect(llm.capture([{ tokenIds: IDS, edits: [{ topK: 1 }] }])).rejects.toThrow(/whole run/);
  });
});
