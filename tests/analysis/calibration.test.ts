import { describe, expect, test } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";
import { coverageOf } from "../../tools/calibration/intervals.ts";
import { levelOf, powerOf } from "../../tools/calibration/labels.ts";
import { realLevelOf, realRouting } from "../../tools/calibration/real.ts";
import { captureShifts, labelShifts } from "../../tools/calibration/shifts.ts";
import { driftLevelOf } from "../../tools/calibration/within-texts.ts";

/** `npm run calibrate` has the whole grid; here is what broke before. Of 40 data sets 2 are expected, more than 7 below 0.1 %. */
const [RUNS, MOST] = [40, 7 / 40];

test.each([
  { lengths: "12 v 64", texts: [30, 30] },
  { lengths: "64 v 12", texts: [10, 50] },
  { lengths: "lognormal", texts: [10, 30] },
])("labels that mean nothing: $lengths, $texts texts", (of) => {
  const { shares, layer, any, decides } = levelOf({ ...of, topic: 0.5 }, RUNS, 99, 3);
  expect(decides).toBe(true);
  expect(shares).toBeLessThan(0.09);
  expect(layer).toBeLessThanOrEqual(MOST);
  expect(any).toBeLessThanOrEqual(MOST);
});

test("three texts against three decide nothing, and it says so", () => {
  const { any, decides } = levelOf({ lengths: "equal", texts: [3, 3], topic: 0.5 }, 10, 99, 1);
  expect({ any, decides }).toEqual({ any: 0, decides: false });
});

test.each([
  { layers: 6, experts: 16, topK: 2, specialists: 16 },
  { layers: 48, experts: 128, topK: 8, specialists: 20 },
])("every planted specialist of $layers x $experts is found, and hardly anything else", (shape) => {
  const planted = { ...shape, labels: 5, texts: 12, share: 1 };
  const found = powerOf(planted, 99, 1);
  expect(found.found).toBe(shape.specialists);
  // One data set of twenty has a false one.
  expect(found.false).toBeLessThanOrEqual(1);
});

test("70 labels that mean nothing are none of them found more often than chance allows", () => {
  const texts = new Array<number>(70).fill(4);
  const { shares, any, decides } = levelOf({ lengths: "lognormal", texts, topic: 0.5 }, 20, 99, 4);
  expect(decides).toBe(true);
  expect(shares).toBeGreaterThan(0.03);
  expect(shares).toBeLessThan(0.07);
  // Of 20 data sets 1 is expected, more than 4 in 0.3 %.
  expect(any).toBeLessThanOrEqual(4 / 20);
});

test("labels given by chance to real texts of one domain mean nothing, though some are short", async () => {
  const routing = await realRouting(packageRoot, 80);
  const { shares, any } = realLevelOf(routing, { lengths: "12 v 64", texts: [30, 30] }, RUNS, 99, 5);
  expect(shares).toBeLessThan(0.09);
  expect(any).toBeLessThanOrEqual(MOST);
});

describe.each(Object.entries({ captures: captureShifts, labels: labelShifts }))("of two %s", (_, shifts) => {
  const model = { layers: 3, experts: 16, topK: 2, rows: 20, texts: 12 };

  test("shifts where there are none are not found", () => {
    const found = Array.from({ length: RUNS }, (__, run) =>
      shifts({ ...model, planted: 0, part: 0 }, 99, run),
    );
    expect(found.filter((of) => of.false > 0).length / RUNS).toBeLessThanOrEqual(MOST);
  });

  test("planted shifts are found", () => {
    const found = shifts({ ...model, planted: 3, part: 0.5 }, 199, 1);
    expect(found).toEqual({ found: 3, false: 0 });
  });
});

test("routing that drifts within texts is no difference between their halves", () => {
  const { layer, any } = driftLevelOf({ texts: 10, rows: 48, correlation: 0.995 }, RUNS, 99, 2);
  expect(layer).toBeLessThanOrEqual(MOST);
  expect(any).toBeLessThanOrEqual(MOST);
});

test("95 % intervals hold the share of the corpus that texts are drawn from", () => {
  const { covered, wilson } = coverageOf(30, 1.2, 30, 4);
  expect(covered).toBeGreaterThan(0.9);
  expect(wilson).toBeLessThan(0.75);
});
