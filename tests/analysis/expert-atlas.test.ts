import { execFileSync } from "node:child_process";
import { expect, inject, test } from "vitest";
import type { CaptureAnalysis } from "../../src/analysis/capture-analysis.ts";
import { expertAtlas } from "../../src/analysis/expert-atlas.ts";
import type { GroupUsage } from "../../src/analysis/measures/tallies/group-usage.ts";
import { principalPlane } from "../../src/analysis/statistics/linear/principal-plane.ts";

/** Deterministic numbers from 0 to 1. */
const numbers = (seed: number) => () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};

test("the plane is numpy's singular value decomposition", () => {
  const random = numbers(7);
  const points = Array.from({ length: 40 }, () =>
    Float64Array.from({ length: 7 }, (_, i) => random() * (i + 1)),
  );
  const script = `
import json, sys, numpy as np
x = np.array(json.load(sys.stdin)); x = x - x.mean(0)
u, s, v = np.linalg.svd(x, full_matrices=False)
v = np.array([row * np.sign(row[np.abs(row).argmax()]) for row in v])
print(json.dumps({"xy": (x @ v[:2].T).tolist(), "explained": (s**2 / (s**2).sum())[:2].tolist()}))`;
  const input = JSON.stringify(points.map((point) => [...point]));
  const numpy = JSON.parse(execFileSync(inject("python"), ["-c", script], { input, encoding: "utf8" })) as {
    xy: number[][];
    explained: number[];
  };
  const { project, explained } = principalPlane(points, 7);
  points.forEach((point, i) => {
    const [x, y] = project(point);
    expect(x).toBeCloseTo(numpy.xy[i]![0]!, 9);
    expect(y).toBeCloseTo(numpy.xy[i]![1]!, 9);
  });
  expect(explained[0]).toBeCloseTo(numpy.explained[0]!, 9);
  expect(explained[1]).toBeCloseTo(numpy.explained[1]!, 9);
});

test("points that do not differ are one point", () => {
  const { project, explained } = principalPlane([Float64Array.of(1, 2), Float64Array.of(1, 2)], 2);
  expect(project(Float64Array.of(1, 2))).toEqual([0, 0]);
  expect(explained).toEqual([0, 0]);
});

/** Two labels, 100 and 50 rows, four experts: two of one label, an even one, a dead one. */
const analysis = (): CaptureAnalysis => {
  const counts = [
    [90, 0, 10, 0],
    [0, 45, 5, 0],
  ];
  const specialization = {
    groups: ["a", "b"],
    rows: [100, 50],
    counts,
    shares: {
      pValues: [],
      qValues: [
        [0.01, 1, 0.6, 1],
        [1, 0.01, 0.6, 1],
      ],
    },
  } as unknown as GroupUsage;
  const experts = [0, 1, 2, 3].map((expert) => ({
    share: (counts[0]![expert]! + counts[1]![expert]!) / 150,
  }));
  return {
    experts: 4,
    fairShare: 0.25,
    layers: [{ layer: 5, specialization, tokenClasses: null, usage: { experts } }],
  } as unknown as CaptureAnalysis;
};

test("experts are placed by their mix, whatever the labels' sizes", () => {
  const { points, dead, corners, by } = expertAtlas(analysis());
  expect(by).toBe("label");
  expect(dead).toEqual([{ layer: 5, expert: 3 }]);
  expect(points.map(({ expert, group, part, significant }) => [expert, group, part, significant])).toEqual([
    [0, 0, 1, true],
    [1, 1, 1, true],
    // Of both labels a tenth of the rows.
    [2, 0, 0.5, false],
  ]);
  // One that serves a label alone is at its corner, and the even one between them.
  for (const group of [0, 1]) {
    expect(points[group]!.x).toBeCloseTo(corners[group]!.x, 9);
    expect(points[group]!.y).toBeCloseTo(corners[group]!.y, 9);
  }
  const [a, b, even] = points as [(typeof points)[0], (typeof points)[0], (typeof points)[0]];
  const distance = (p: typeof a, q: typeof a) => Math.hypot(p.x - q.x, p.y - q.y);
  expect(distance(a, even)).toBeCloseTo(distance(b, even), 9);
  expect(distance(a, even)).toBeLessThan(distance(a, b));
  expect(points[0]!.timesFair).toBeCloseTo(90 / 150 / 0.25, 9);
});
