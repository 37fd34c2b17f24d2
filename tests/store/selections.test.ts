import { describe, expect, test } from "vitest";
import { expertUsage, measures, reducer } from "../../src/analysis.ts";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { readManifest } from "../../src/capture/folder/manifest.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import type { Prompt } from "../../src/run/prompts/prompt-object.ts";
import type { CaptureOptions } from "../../src/run/run-options.ts";
import { FakeEngine } from "../cli/fake-engine.ts";
import { expectSameRows } from "./capture-contents.ts";
import { capturePath } from "./folder.ts";

const whole = LanguageModel.of(new FakeEngine());
const PROMPTS: Prompt[] = ["abcd", { prompt: "bcde", select: { positions: [-2, 0] } }, "cc", "dcba"];

/** A model whose runs end after some samples. */
function failing(samples: number): LanguageModel {
  const engine = new FakeEngine();
  const run = engine.run.bind(engine);
  engine.run = async function* (...args) {
    let left = samples;
    for await (const step of run(...args)) {
      if (left-- === 0) throw new Error("the engine is gone");
      yield step;
    }
  };
  return LanguageModel.of(engine);
}

const CASES: [string, Omit<CaptureOptions, "into">][] = [
  ["conditions", { select: { tokenIds: [97, 99], exclude: { positions: [0] } }, maxTokens: 4 }],
  [
    "windows and steps",
    {
      select: { any: [{ window: [-2, null], phase: "prompt" }, { stepWindow: [1, null] }, { steps: [0] }] },
      maxTokens: 4,
    },
  ],
  ["the last row", { reduce: "last", maxTokens: 4 }],
  ["means", { reduce: "mean", streams: ["router_logits", "hidden_states"], maxTokens: 4 }],
  ["several samples a prompt", { n: 2, temperature: 1, maxTokens: 4 }],
];

describe("a folder of selected rows", () => {
  test.each(CASES)("says how it was asked for, and goes on after a break: %s", async (_, options) => {
    const folder = await capturePath();
    const into = new FolderSink(folder, { shardBytes: 600 });
    const run = failing(3).capture(PROMPTS, { ...options, into });
    await expect(run).rejects.toThrow("the engine is gone");
    const resumed = await whole.resume(folder);
    const unbroken = await whole.capture(PROMPTS, options);
    expect(unbroken.rows.length).toBeGreaterThan(3);
    for (const capture of [resumed, await openCapture(folder)]) {
      expect(capture.complete).toBe(true);
      expectSameRows(capture, unbroken, 0);
      expect(capture.outputs).toEqual(unbroken.outputs);
      expect(capture.samples.map((_, sample) => capture.promptTokens(sample))).toEqual(
        unbroken.samples.map((_, sample) => unbroken.promptTokens(sample)),
      );
    }
  });

  test("the manifest has the words of the run", async () => {
    const folder = await capturePath();
    const select = {
      any: [{ tokenIds: [99, 97], phase: "prompt" as const }],
      exclude: { window: [-1, null] as const },
    };
    await whole.capture(PROMPTS, { select, reduce: "mean", streams: ["router_logits"], into: folder });
    const { run } = await readManifest(folder);
    expect(run).toMatchObject({
      select: {
        phase: null,
        positions: null,
        last: null,
        any: [{ phase: "prompt", positions: null, tokenIds: [97, 99] }],
        exclude: [{ phase: null, positions: null, window: [-1, null] }],
      },
      selects: [null, { positions: [-2, 0], last: null }, null, null],
      reduce: "mean",
    });
  });

  test("counts the rows beyond its budget, and is not resumed", async () => {
    const folder = await capturePath();
    const kept = await whole.capture(PROMPTS, { maxRows: 5, into: folder });
    expect([kept.rows.length, kept.dropped, kept.complete]).toEqual([5, 7, true]);
    expect((await openCapture(folder)).dropped).toBe(7);
    const broken = await capturePath();
    const run = failing(2).capture(PROMPTS, {
      maxRows: 5,
      into: new FolderSink(broken, { shardBytes: 100 }),
    });
    await expect(run).rejects.toThrow("the engine is gone");
    await expect(whole.resume(broken)).rejects.toThrow("it cannot be resumed");
  });
});

test("means tell no routing: what reads it says so", async () => {
  const streams = ["router_logits"] as const;
  const capture = await whole.capture(PROMPTS, { reduce: "mean", streams });
  expect(capture.reduce).toBe("mean");
  expect([...capture.rows.text]).toEqual(["<mean>", "<mean>", "<mean>", "<mean>"]);
  expect(() => expertUsage(capture)).toThrow("the mean of each sample's rows, which chose no experts");
  const into = reducer(measures.balance);
  await expect(whole.capture(PROMPTS, { reduce: "mean", streams, into })).rejects.toThrow(
    "the reducer counts rows",
  );
});

test("a stream keeps rows as they come: what is known of a whole run only is refused", async () => {
  const next = (options: object, prompts: Prompt[] = ["ab"]) => whole.stream(prompts, options).next();
  await expect(next({ reduce: "mean", streams: ["router_logits"] })).rejects.toThrow(
    "reduce is of a whole run",
  );
  await expect(next({ maxRows: 3 })).rejects.toThrow("maxRows is of a whole run or its outputs");
  await expect(next({}, [{ prompt: "ab", select: { last: 1 } }])).rejects.toThrow(
    "select.last is known only",
  );
  const { value } = await next({ select: { positions: [-1] } });
  expect(value).toMatchObject({ position: 1, tokenId: 98 });
});

test("means of a long corpus take as much memory as those of its samples that run", async () => {
  let most = 0;
  const into = {
    rows: 0,
    open() {},
    write({
      rows,
      streams,
    }: {
      rows: number;
      streams: ReadonlyMap<string, ReadonlyMap<number, { length: number }>>;
    }) {
      this.rows += rows;
      most = Math.max(most, [...streams.get("hidden_states")!.values()][0]!.length);
    },
    close() {
      return this.rows;
    },
  };
  const prompts = Array.from({ length: 200 }, (_, i) => "a".repeat(1 + (i % 50)));
  const rows = await whole.capture(prompts, { reduce: "mean", streams: ["hidden_states"], into });
  // One row a sample, of 8 values, however long it is.
  expect([rows, most]).toEqual([200, 8]);
});
