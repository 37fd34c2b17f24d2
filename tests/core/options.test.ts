import { describe, expect, test } from "vitest";
import { RequestError } from "../../src/core/errors.ts";
import { nearMiss } from "../../src/core/near-miss.ts";
import {
  abortSignal,
  callback,
  flag,
  list,
  number,
  oneOf,
  optionsReader,
  text,
  whole,
} from "../../src/core/options.ts";
import { schema } from "../../src/core/schema.ts";

interface Options {
  readonly maxTokens?: number;
  readonly seed?: number;
  readonly temperature?: number;
  readonly unit?: "sample" | "row";
  readonly labels?: readonly string[];
  readonly signal?: AbortSignal;
  readonly onProgress?: () => void;
  readonly exact?: boolean;
}

const read = optionsReader<Options>("run", {
  maxTokens: whole(0),
  seed: whole(0, 10),
  temperature: number("from 0", (value) => value >= 0),
  unit: oneOf(["sample", "row"]),
  labels: list(text),
  signal: abortSignal,
  onProgress: callback,
  exact: flag,
});

const refusal = (options: unknown, reader: (given: unknown) => unknown = read): string => {
  try {
    reader(options);
  } catch (error) {
    expect(error).toBeInstanceOf(RequestError);
    expect((error as RequestError).code).toBe("INVALID_ARGUMENT");
    return (error as Error).message;
  }
  return "was accepted";
};

describe("options", () => {
  test("that are right come back, those that are undefined as not given", () => {
    const { signal } = new AbortController();
    const given = { maxTokens: 0, unit: "row", labels: ["a"], signal, exact: false, temperature: 0.5 };
    expect(read({ ...given, seed: undefined })).toEqual(given);
    expect(read(undefined)).toEqual({});
    expect(read({})).toEqual({});
    // From another realm, or made without a prototype.
    expect(read(Object.assign(Object.create(null), { seed: 3 }))).toEqual({ seed: 3 });
  });

  test.each([
    ["max_tokens", 'run has no option "max_tokens": did you mean maxTokens?'],
    ["maxtokens", 'run has no option "maxtokens": did you mean maxTokens?'],
    ["maxTokns", 'run has no option "maxTokns": did you mean maxTokens?'],
    ["lables", 'run has no option "lables": did you mean labels?'],
    ["tokens", 'run has no option "tokens": did you mean maxTokens?'],
    [
      "width",
      'run has no option "width"; its options are maxTokens, seed, temperature, unit, labels, signal, onProgress, exact',
    ],
  ])("with the unknown name %s are refused", (name, message) => {
    expect(refusal({ [name]: 1 })).toBe(message);
    // Even a value that would be left out.
    expect(refusal({ [name]: null })).toBe(message);
  });

  test.each([
    [{ maxTokens: 1.5 }, "run: maxTokens must be a whole number from 0, got 1.5"],
    [{ maxTokens: "5" }, 'run: maxTokens must be a whole number from 0, got "5"'],
    [{ maxTokens: null }, "run: maxTokens must be a whole number from 0, got null"],
    [{ maxTokens: Number.NaN }, "run: maxTokens must be a whole number from 0, got NaN"],
    [{ maxTokens: 3n }, "run: maxTokens must be a whole number from 0, got 3n"],
    [{ seed: 11 }, "run: seed must be a whole number from 0 to 10, got 11"],
    [{ temperature: Infinity }, "run: temperature must be a number from 0, got Infinity"],
    [{ unit: "rows" }, 'run: unit must be one of sample, row, got "rows": did you mean row?'],
    [{ unit: 3 }, "run: unit must be one of sample, row, got 3"],
    [{ labels: "math" }, 'run: labels must be an array, got "math"'],
    [{ labels: ["math", 3] }, "run: labels[1] must be text, got 3"],
    [{ signal: {} }, "run: signal must be an AbortSignal, got an object"],
    [{ onProgress: true }, "run: onProgress must be a function, got true"],
    [{ exact: "yes" }, 'run: exact must be true or false, got "yes"'],
  ])("of the wrong type are refused: %o", (options, message) => {
    expect(refusal(options)).toBe(message);
  });

  test.each([
    ["a path", 'run takes its options as an object, { name: value }; it got "a path"'],
    [null, "run takes its options as an object, { name: value }; it got null"],
    [[1], "run takes its options as an object, { name: value }; it got an array of 1"],
    [new Map(), "run takes its options as an object, { name: value }; it got a Map"],
    [() => 0, "run takes its options as an object, { name: value }; it got a function"],
  ])("that are no object are refused: %s", (options, message) => {
    expect(refusal(options)).toBe(message);
  });

  test("without a default must be given", () => {
    const strict = optionsReader<{ vram: number; kind?: string }>("place", { vram: whole(0), kind: text }, [
      "vram",
    ]);
    expect(refusal(undefined, strict)).toBe("place needs the option vram");
    expect(refusal({ vram: undefined }, strict)).toBe("place needs the option vram");
    expect(strict({ vram: 3 })).toEqual({ vram: 3 });
  });

  test("may be described by a zod schema", () => {
    const reader = optionsReader<{ seed?: number; label?: string }>(
      "call",
      schema((z) => z.object({ seed: z.int().optional(), label: z.string().optional() })),
    );
    expect(reader({ seed: 3, label: undefined })).toEqual({ seed: 3 });
    expect(refusal({ Seed: 3 }, reader)).toBe('call has no option "Seed": did you mean seed?');
    expect(refusal({ seed: "x" }, reader)).toMatch(/^call: seed: .*number/);
  });

  test("are all described: the compiler sees to it", () => {
    // @ts-expect-error `b` is forgotten
    optionsReader<{ a?: number; b?: number }>("call", { a: whole(0) });
    // @ts-expect-error `c` is none
    optionsReader<{ a?: number }>("call", { a: whole(0), c: whole(0) });
  });
});

describe("near misses", () => {
  const formats = ["routed-experts", "expert-load", "usage-csv", "usage-parquet", "npy"];
  test.each([
    ["csv", "usage-csv"],
    ["parquet", "usage-parquet"],
    ["routed_experts", "routed-experts"],
    ["expertload", "expert-load"],
    ["numpy", "npy"],
    ["json", null],
    ["", null],
  ])("of %s is %s", (name, meant) => {
    expect(nearMiss(name, formats)).toBe(meant);
  });

  test("short names are not all alike", () => {
    expect(nearMiss("to", ["of", "at"])).toBeNull();
    expect(nearMiss("x", ["of", "at"])).toBeNull();
  });
});
