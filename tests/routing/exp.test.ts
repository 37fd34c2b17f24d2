import { expect, test } from "vitest";
import { fastExp } from "../../src/gating/exp.ts";

test("e^x within 4e-11 of Math.exp, and beyond the reach of its table as well", () => {
  let worst = 0;
  for (let x = -700; x < 700; x += 0.00137) worst = Math.max(worst, Math.abs(fastExp(x) / Math.exp(x) - 1));
  expect(worst).toBeLessThan(4e-11);
  for (const x of [88, -88, 88.001, -88.001]) expect(fastExp(x) / Math.exp(x)).toBeCloseTo(1, 10);
  for (const x of [-1000, -Infinity, 1000, Infinity]) expect(fastExp(x)).toBe(Math.exp(x));
  expect(fastExp(Number.NaN)).toBeNaN();
  expect(fastExp(0)).toBe(1);
});
