import { expect, test } from "vitest";
import {
  parseLabelPair,
  parseLayers,
  parseNumber,
  parseSelect,
  parseStreamList,
  parseWhole,
} from "../../src/cli/options/option-values.ts";

test("layers", () => {
  expect(parseLayers("0,2-5,-1")).toEqual([0, 2, 3, 4, 5, -1]);
  expect(parseLayers("-1")).toEqual([-1]);
  for (const bad of ["", "x", "5-2", "1,,2", "1.5", "0-99999999"]) expect(() => parseLayers(bad)).toThrow();
});

test("selections", () => {
  expect(parseSelect("phase=generated,last=4,positions=0-3+10")).toEqual({
    phase: "generated",
    last: 4,
    positions: [0, 1, 2, 3, 10],
  });
  expect(parseSelect("last=1")).toEqual({ last: 1 });
  expect(parseSelect("positions=-1+0,window=-5:,tokens=5+7,!tokens=0,!steps=0-1")).toEqual({
    positions: [-1, 0],
    window: [-5, null],
    tokenIds: [5, 7],
    exclude: [{ tokenIds: [0] }, { steps: [0, 1] }],
  });
  for (const bad of ["!last=2", "window=3", "tokens=-1", "tokens=1,tokens=2"])
    expect(() => parseSelect(bad)).toThrow();
  for (const bad of ["", "last", "last=0", "phase=both", "rows=3", "last=1,last=2", "positions=-"])
    expect(() => parseSelect(bad)).toThrow();
});

test("two labels", () => {
  expect(parseLabelPair("math, source code")).toEqual(["math", "source code"]);
  for (const bad of ["math", "math,", "a,b,c"]) expect(() => parseLabelPair(bad)).toThrow(/as in math,code/);
});

test("streams and numbers", () => {
  expect(parseStreamList("hidden_states, router_logits")).toEqual(["router_logits", "hidden_states"]);
  expect(() => parseStreamList("logits")).toThrow(/unknown stream "logits"/);
  expect(parseWhole(0)("12")).toBe(12);
  for (const bad of ["", "-1", "1.5", "1e3", "99999999999"]) expect(() => parseWhole(0)(bad)).toThrow();
  const probability = parseNumber("from 0 to 1", (p) => p >= 0 && p <= 1);
  expect(probability(".5")).toBe(0.5);
  for (const bad of ["", " ", "x", "2", "NaN"]) expect(() => probability(bad)).toThrow(/from 0 to 1/);
});
