import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { expertSimilarity, phi } from "../../src/analysis/expert-similarity.ts";
import { captureOf } from "./synthetic.ts";

/** What `expert-similarity.py` wrote; see there. */
const reference = JSON.parse(readFileSync(new URL("expert-similarity.json", import.meta.url), "utf8")) as {
  experts: number;
  topK: number;
  expert: number;
  /** `[layer, token, k]`. */
  ids: number[][][];
  /** `[layer, expert]`. */
  phi: (number | null)[][];
};
const { experts, topK, expert, ids } = reference;
const tokens = ids[0]!.length;

test("similarity of experts is numpy's correlation of their use", () => {
  const capture = captureOf({
    experts,
    topK,
    labels: [null, null],
    lengths: [15, tokens - 15],
    layers: [2, 5],
    streams: { expert_ids: Uint16Array.from(ids.flat(2)) },
  });
  const found = expertSimilarity(capture, 2, expert);
  expect(found.rows).toBe(tokens);
  expect(found.used).toBe(ids[0]!.filter((chosen) => chosen.includes(expert)).length);
  expect(found.layers.map(({ layer }) => layer)).toEqual([2, 5]);
  found.layers.forEach(({ counts, shared, phi }, line) => {
    for (let e = 0; e < experts; e++) {
      const uses = ids[line]!.map((chosen) => chosen.includes(e));
      expect(counts[e]).toBe(uses.filter(Boolean).length);
      expect(shared[e]).toBe(uses.filter((used, i) => used && ids[0]![i]!.includes(expert)).length);
      const wanted = reference.phi[line]![e]!;
      if (wanted === null) expect(phi[e]).toBeNaN();
      else expect(phi[e]).toBeCloseTo(wanted, 12);
    }
  });
});

test("1 for the same tokens, 0 for chance, less where they are avoided", () => {
  expect(phi(100, 20, 20, 20)).toBe(1);
  expect(phi(100, 20, 50, 10)).toBe(0);
  expect(phi(100, 50, 50, 0)).toBe(-1);
  expect(phi(100, 0, 50, 0)).toBeNaN();
  expect(phi(100, 100, 50, 50)).toBeNaN();
});
