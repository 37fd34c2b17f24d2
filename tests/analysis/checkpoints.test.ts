import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { compareCaptures } from "../../src/analysis/compare/compare-captures.ts";
import { compareCheckpoints } from "../../src/analysis/compare/compare-checkpoints.ts";
import { checkpointFacts } from "../../src/views/facts/checkpoints.ts";
import { runCli } from "../cli/run-cli.ts";
import { captureOf, folderOf } from "./synthetic.ts";

/** 12 texts of 20 tokens, 8 experts, top-1; from some checkpoint on, expert 7 serves what expert 0 served before. */
const lengths = new Array<number>(12).fill(20);
const run = (moved: number) => ({
  experts: 8,
  topK: 1,
  labels: lengths.map(() => null),
  lengths,
  layers: [2, 3],
  streams: {
    expert_ids: Uint16Array.from({ length: 2 * 240 }, (_, i) => {
      const expert = (i * 5) % 8;
      return i >= 240 && expert === 0 && i % 240 < moved ? 7 : expert;
    }),
  },
});
const MOVED = [0, 120, 240, 240];
const captures = MOVED.map((moved) => captureOf(run(moved)));

test("each is compared as two captures are", () => {
  const { checkpoints } = compareCheckpoints(captures, { permutations: 99 });
  MOVED.forEach((_, i) => {
    const pairs = [
      [checkpoints[i]!.toFirst, 0, i],
      [checkpoints[i]!.toPrevious, i - 1, i],
      [checkpoints[i]!.toLast, i, 3],
    ] as const;
    for (const [found, a, b] of pairs) {
      if (a < 0 || a === b) {
        expect(found).toBeNull();
        continue;
      }
      const wanted = compareCaptures(captures[a]!, captures[b]!, { permutations: 99 });
      const layers = [...wanted.layers.values()];
      expect(found!.exact).toBe(wanted.exact);
      expect(found!.overlap).toBeCloseTo(layers.reduce((sum, { overlap }) => sum + overlap, 0) / 2, 12);
      expect(found!.usageShift).toBeCloseTo(
        layers.flatMap(({ experts }) => experts).reduce((sum, of) => sum + Math.abs(of.difference), 0) / 4,
        12,
      );
      expect(found!.shifted).toBe(
        layers.flatMap(({ experts }) => experts).filter(({ qValue }) => qValue <= 0.05).length,
      );
      expect(found!.interval[0]).toBeLessThanOrEqual(found!.overlap);
      expect(found!.interval[1]).toBeGreaterThanOrEqual(found!.overlap);
    }
  });
});

test("experts settle where their shares come to stay", () => {
  const found = compareCheckpoints(captures, { permutations: 99 });
  expect(found.tolerance).toBe(1 / 80);
  const [still, moving] = found.layers;
  expect(still!.experts.map(({ settled }) => settled)).toEqual(new Array(8).fill(0));
  // A fifth of the fair share at the third checkpoint, the last one's from there on.
  expect(moving!.experts.map(({ settled }) => settled)).toEqual([2, 0, 0, 0, 0, 0, 0, 2]);
  expect(moving!.experts[7]!.shares).toEqual([0.125, 0.1875, 0.25, 0.25]);
  expect(moving!.experts[0]!.surelySettled).toBe(2);
  expect(moving!.experts[0]!.halfWidths[0]).toBeGreaterThan(0);
  expect(found.checkpoints.map(({ settled }) => settled)).toEqual([14, 14, 16, 16]);
  expect(found.experts).toBe(16);
  expect(moving!.overlapWithLast).toEqual([0.875, 0.9375, 1, 1]);
  expect(moving!.overlapWithPrevious).toEqual([null, 0.9375, 0.9375, 1]);
});

test("two captures are no order", () => {
  expect(() => compareCheckpoints(captures.slice(0, 2))).toThrow("compareCaptures compares two");
});

test("the command says it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "checkpoints-"));
  try {
    const names = MOVED.map((_, i) => join(folder, `step${i}`));
    for (const [i, moved] of MOVED.entries()) await folderOf(run(moved), names[i]!);
    const told = await runCli(["compare", ...names, "--permutations", "99"]);
    expect(told).toMatchObject({ code: 0, stderr: "" });
    expect(told.stdout).toMatch(/^4 captures in order: experts in common\n/);
    const json = await runCli(["compare", ...names, "--permutations", "99", "--json"]);
    const facts = checkpointFacts().parse(JSON.parse(json.stdout));
    expect(facts.checkpoints).toEqual(
      JSON.parse(JSON.stringify(compareCheckpoints(captures, { permutations: 99 }).checkpoints)),
    );
    const mixed = await runCli(["compare", ...names, "--prompts", "x.txt"]);
    expect(mixed.code).toBe(2);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
