import { expect, test } from "vitest";
import {
  bytes,
  count,
  duration,
  information,
  percent,
  plural,
  points,
  probability,
  times,
} from "../../src/views/numbers.ts";

test("three significant digits and a unit", () => {
  expect([7, 412, 999, 1000, 1234, 30_500_000_000].map(count)).toEqual([
    "7",
    "412",
    "999",
    "1 k",
    "1.23 k",
    "30.5 B",
  ]);
  expect(count(999_700)).toBe("1 M");
  expect(bytes(14_200_000)).toBe("14.2 MB");
  expect([0.125, 0.0625, 8 / 256, 1].map(percent)).toEqual(["12.5 %", "6.25 %", "3.13 %", "100 %"]);
  expect([0.9994, 0.99999].map(percent)).toEqual(["99.9 %", "<100 %"]);
  expect([-0.0488, 0, 0.003].map(points)).toEqual(["-4.88 points", "0 points", "+0.3 points"]);
  expect([0, 0.0000123, 0.0476, Infinity].map(information)).toEqual(["0", "1.2e-5", "0.0476", "Infinity"]);
  expect([1.44, 3, 12.6].map(times)).toEqual(["1.4×", "3.0×", "13×"]);
  expect([0.0002, 0.012, 1].map(probability)).toEqual(["p < 0.001", "p = 0.012", "p = 1.000"]);
  expect([3.2, 89, 200, 4800].map(duration)).toEqual(["4 s", "89 s", "3 min", "1 h 20 min"]);
  expect(plural(1, "token")).toBe("1 token");
});
