import { expect, test } from "vitest";
import { coverageOf } from "../../tools/calibration/intervals.ts";
import { levelOf, powerOf } from "../../tools/calibration/labels.ts";
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
