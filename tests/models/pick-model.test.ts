import { describe, expect, test } from "vitest";
import { pickModel } from "../../src/sources/pick-model.ts";

const pick = (files: string[], choice: { file?: string; quant?: string } = {}) =>
  pickModel(files, choice, "hf:org/repo");
const part = (prefix: string, i: number, of: number) => `${prefix}-0000${i}-of-0000${of}.gguf`;

const REPO = [
  "README.md",
  "m-BF16.gguf",
  "m-Q4_0.gguf",
  "m-Q4_0_4_4.gguf",
  "m-Q4_K_M.gguf",
  "m-UD-Q4_K_XL.gguf",
  "m-IQ2_XXS.gguf",
  "mmproj-m-f16.gguf",
  "m.imatrix.gguf",
];

describe("by quantisation", () => {
  test.each([
    ["Q4_K_M", "m-Q4_K_M.gguf"],
    ["q4_k_m", "m-Q4_K_M.gguf"],
    ["bf16", "m-BF16.gguf"],
    ["Q4_0", "m-Q4_0.gguf"],
    ["UD-Q4_K_XL", "m-UD-Q4_K_XL.gguf"],
    ["Q4_K_XL", "m-UD-Q4_K_XL.gguf"],
    ["IQ2_XXS", "m-IQ2_XXS.gguf"],
  ])("%s", (quant, file) => {
    expect(pick(REPO, { quant })).toEqual([file]);
  });

  test("other ways of naming", () => {
    expect(pick(["qwen-q4_k_m.gguf", "qwen-q8_0.gguf"], { quant: "Q8_0" })).toEqual(["qwen-q8_0.gguf"]);
    expect(pick(["m.i1-Q4_K_M.gguf", "m.i1-Q4_K_S.gguf"], { quant: "Q4_K_M" })).toEqual(["m.i1-Q4_K_M.gguf"]);
    expect(pick(["m-Q4_K_M-imat.gguf", "m-Q8_0.gguf"], { quant: "q4_k_m" })).toEqual(["m-Q4_K_M-imat.gguf"]);
    expect(pick(["m-mxfp4.gguf", "m-F16.gguf"], { quant: "MXFP4" })).toEqual(["m-mxfp4.gguf"]);
    expect(pick(["m-special.gguf", "m-F16.gguf"], { quant: "special" })).toEqual(["m-special.gguf"]);
    expect(pick(["BF16/m.gguf", "Q8_0/m.gguf"], { quant: "Q8_0" })).toEqual(["Q8_0/m.gguf"]);
  });

  test("one that is not there lists those that are", () => {
    expect(() => pick(REPO, { quant: "Q5_K_M" })).toThrow(
      "hf:org/repo has no Q5_K_M; there are: BF16, IQ2_XXS, Q4_0, Q4_K_M, UD-Q4_K_XL",
    );
    // An end of a label is no label.
    expect(() => pick(REPO, { quant: "M" })).toThrow("has no M");
  });

  test("several that fit are listed", () => {
    expect(() => pick(["a-Q4_K_M.gguf", "b-Q4_K_M.gguf"], { quant: "Q4_K_M" })).toThrow(
      "hf:org/repo has 2 models with Q4_K_M; name one as hf:org/repo/FILE: a-Q4_K_M.gguf, b-Q4_K_M.gguf",
    );
  });
});

describe("without a choice", () => {
  test("the only model", () => {
    expect(pick(["m-MXFP4.gguf", "mmproj-F16.gguf"])).toEqual(["m-MXFP4.gguf"]);
  });
  test("or its Q4_K_M", () => {
    expect(pick(REPO)).toEqual(["m-Q4_K_M.gguf"]);
  });
  test("or the question which", () => {
    expect(() => pick(["m-Q2_K.gguf", "m-Q8_0.gguf"])).toThrow(
      "hf:org/repo has 2 models and none is Q4_K_M; say which, as hf:org/repo:QUANT: Q2_K, Q8_0",
    );
  });
  test("or that there is none", () => {
    expect(() => pick([])).toThrow("hf:org/repo has no .gguf model; look for");
    expect(() => pick(["mmproj-F16.gguf"])).toThrow("(only mmproj-F16.gguf)");
  });
});

describe("split models", () => {
  const parts = [1, 2, 3].map((i) => part("Q4_K_M/m-Q4_K_M", i, 3));
  test("all parts, in order, whatever the order of the listing", () => {
    const files = [...parts].reverse();
    expect(pick(files, { quant: "Q4_K_M" })).toEqual(parts);
    expect(pick(files, { file: parts[1]! })).toEqual(parts);
    expect(pick(files)).toEqual(parts);
  });
  test("a missing part is an error before the download", () => {
    expect(() => pick([parts[0]!, parts[2]!], { quant: "Q4_K_M" })).toThrow(
      "hf:org/repo lacks part 2 of 3 of the split model Q4_K_M/m-Q4_K_M",
    );
  });
});

test("by file", () => {
  expect(pick(REPO, { file: "m-BF16.gguf" })).toEqual(["m-BF16.gguf"]);
  // Named in full, so meant.
  expect(pick(REPO, { file: "mmproj-m-f16.gguf" })).toEqual(["mmproj-m-f16.gguf"]);
  expect(() => pick(["a.gguf"], { file: "b.gguf" })).toThrow("hf:org/repo has no b.gguf; there are: a.gguf");
});
