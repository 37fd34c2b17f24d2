import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as hs from "../../src/hs.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { FakeEngine } from "../cli/fake-engine.ts";

/** What EasySteer's own code selects; see `selection_reference.py`. */
const { prompts, maxTokens, cases } = JSON.parse(
  readFileSync(new URL("selection-reference.json", import.meta.url), "utf8"),
) as {
  prompts: string[];
  maxTokens: number;
  cases: { spec: Record<string, unknown>; rows: [number, number][] }[];
};

const llm = LanguageModel.of(new FakeEngine());
const camel = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
const specOf = (spec: Record<string, unknown>): hs.SelectSpec =>
  Object.fromEntries(Object.entries(spec).map(([name, value]) => [camel(name), value]));
const rowsOf = (result: hs.CaptureResult) =>
  prompts.flatMap((_, sample) => result.samplePositions(sample).map((position) => [sample, position]));

describe("a selection keeps the rows that EasySteer's keeps", () => {
  test.each(cases)("$spec", async ({ spec, rows }) => {
    const result = await hs.capture(llm, prompts, { maxTokens, layers: [0], select: specOf(spec) });
    expect(rowsOf(result)).toEqual(rows);
  });

  test("prompt by prompt", async () => {
    const own = cases.slice(0, prompts.length);
    const result = await hs.capture(llm, prompts, {
      maxTokens,
      layers: [0],
      select: { generation: "all" },
      perPromptSelects: own.map(({ spec }, i) => (i === 1 ? null : specOf(spec))),
    });
    const generated = Array.from({ length: maxTokens - 1 }, (_, i) => [1, prompts[1]!.length + i]);
    const expected = own.flatMap(({ rows }, i) =>
      i === 1 ? generated : rows.filter(([sample]) => sample === i),
    );
    expect(rowsOf(result)).toEqual(expected);
  });
});

test("a position beyond the prompt selects nothing, where EasySteer takes the last token", async () => {
  const result = await hs.capture(llm, ["abc", "abcdef"], { select: { promptPositions: [4] } });
  expect([0, 1].map((sample) => result.samplePositions(sample))).toEqual([[], [4]]);
});

test("what selects nothing, excludes what is not selected, or is written otherwise is refused", async () => {
  const refusals: [object, string | RegExp][] = [
    [{}, "select selects nothing"],
    [{ promptPositions: [] }, "select.promptPositions is empty"],
    [
      { prompt: "all", excludeGenerationTokens: [3] },
      "excludes rows of the generation and selects none of it",
    ],
    [{ generationPositions: [-1] }, "select.generationPositions[0] must be a whole number from 0"],
    [{ promptWindow: [3, 1] }, "ends before it begins"],
    [{ promptWindow: 3 }, "window must be [start, end]"],
    [{ prompt_positions: [0] }, "did you mean promptPositions?"],
    [{ prompt: "every" }, "select.prompt must be one of all"],
  ];
  for (const [select, message] of refusals)
    await expect(hs.capture(llm, ["a"], { select })).rejects.toMatchObject({
      name: "RequestError",
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(message as string),
    });
  await expect(hs.capture(llm, ["a", "b"], { perPromptSelects: [null] })).rejects.toThrow(
    "perPromptSelects has 1 entries for 2 prompts",
  );
});
