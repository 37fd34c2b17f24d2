import { expect, test } from "vitest";
import { expBelow } from "../../src/routing/exp.ts";

test("e^x for x <= 0, within 4e-11 of Math.exp, down to 0 and for what is no number", () => {
  let worst = 0;
  for (let x = 0; x > -700; x -= 0.00137) worst = Math.max(worst, Math.abs(expBelow(x) / Math.exp(x) - 1));
  expect(worst).toBeLessThan(4e-11);
  for (const x of [0, -0, -88, -88.001, -745, -1000, -Infinity, Number.NaN])
    expect(expBelow(x)).toBeCloseTo(Math.exp(x), 15);
});
