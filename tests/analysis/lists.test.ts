import { describe, expect, test } from "vitest";
import { pairChances } from "../../src/analysis/statistics/conditional-bernoulli.ts";
import { contenders, falseDiscovery } from "../../src/analysis/statistics/false-discovery.ts";
import { studentTwoSided } from "../../src/analysis/statistics/student.ts";
import { listsOf } from "../../tools/calibration/lists.ts";
import { error, flat, reference } from "./reference.ts";

test("false discovery rates are scipy's, and the same without the large p-values up to their level", () => {
  const { p, q } = reference.benjaminiHochberg;
  const all = falseDiscovery([Float64Array.from(p.slice(0, 9)), Float64Array.from(p.slice(9))], p.length);
  expect(error(p.map(all), q)).toBeLessThan(1e-15);
  const small = falseDiscovery([Float64Array.from(p.filter((value) => value <= 0.05))], p.length);
  p.forEach((value, i) => {
    if (q[i]! <= 0.05) expect(small(value)).toBeCloseTo(q[i]!, 15);
  });
});

test("contenders hold the strongest findings wherever the line is drawn", () => {
  const all = Array.from({ length: 200 }, (_, i) => ({
    pValue: ((i * 37) % 199) / 199,
    strength: ((i * 101) % 197) + 1,
  }));
  const few = contenders(all, 5);
  expect(few.length).toBeLessThan(60);
  const strongest = (of: typeof all, line: number) =>
    of
      .filter(({ pValue }) => pValue <= line)
      .map(({ strength }) => strength)
      .sort((a, b) => b - a)
      .slice(0, 5);
  for (const line of [0, 0.01, 0.05, 0.3, 1]) expect(strongest(few, line)).toEqual(strongest(all, line));
});

test("Student's tails are scipy's, however far out", () => {
  for (const { t, degrees, p } of reference.studentTails)
    expect(studentTwoSided(t, degrees) / p).toBeCloseTo(1, 8);
});

test("chances of pairs against all sets of experts", () => {
  for (const { inclusion, size, chances } of reference.pairChances)
    expect(error(pairChances(Float64Array.from(inclusion), size), flat(chances))).toBeLessThan(1e-8);
});

describe("tokens and pairs that chance makes are not listed", () => {
  const shape = { layers: 2, experts: 16, topK: 2, stick: 0.5, vocabulary: 300 };
  // Of 40 data sets 2 may list something; more than 7 have a chance below 0.1 %.
  test.each([
    { texts: 12, rows: 40, topic: 0.5 },
    { texts: 30, rows: "lognormal", topic: 1.2 },
    { texts: 100, rows: 12, topic: 0 },
  ] as const)("$texts texts of $rows rows, topics $topic", (of) => {
    const { tokens, pairs } = listsOf({ ...shape, ...of }, 40, 5);
    expect(tokens).toBeLessThanOrEqual(7 / 40);
    expect(pairs).toBeLessThanOrEqual(7 / 40);
  });

  test("those that are planted are", () => {
    const found = listsOf({ ...shape, layers: 6, texts: 100, rows: 40, topic: 0.5, planted: 2 }, 5, 5);
    expect(found).toMatchObject({ plantedTokens: 1, plantedPairs: 1 });
    expect(found.otherTokens).toBeLessThan(0.5);
  });
});
