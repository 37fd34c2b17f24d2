import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { header } from "../../src/views/terminal/parts/header.ts";
import { specializedExpertList } from "../../src/views/terminal/parts/specialized-experts.ts";
import { displayWidth } from "../../src/views/terminal/parts/text.ts";
import { tokenStrip } from "../../src/views/terminal/parts/token-strip.ts";
import { type UsageCounted, usageByLabel, usageMap } from "../../src/views/terminal/parts/usage-map.ts";
import type { ColourDepth, Terminal } from "../../src/views/terminal/terminal.ts";
import { modelInfo } from "./fake-engine.ts";

const plain: Terminal = { width: 80, depth: "none" };
const show = (lines: readonly string[]) => `\n${lines.join("\n")}\n`;

/** Usage whose counts are `of(layer, expert)`, the same for each label. */
function usage(
  layers: number,
  experts: number,
  of: (layer: number, expert: number) => number,
  labels: readonly (string | null)[] = [null],
): UsageCounted {
  return {
    fairShare: 2 / experts,
    layers: Array.from({ length: layers }, (_, layer) => {
      const counts = Array.from({ length: experts }, (_, expert) => of(layer, expert));
      return { layer, counts, byLabel: labels.map((label) => ({ label, rows: 100, counts })) };
    }),
  };
}

test("usage map: each level of use has its shade, never used is blank", () => {
  const shades = usage(1, 8, (_, expert) => [0, 1, 4, 8, 12, 20, 0, 3][expert]!);
  expect(show(usageMap(shades, plain))).toBe(`
Expert usage against fair share (25 % of tokens)
     0  1  2  3  4  5  6  7    CV never
L0      ·  ░  ░  ▒  ▓     ░  1.17     2
     · <½  ░ 1  ▒ 2  ▓ 3  █ 4+ × fair share, blank: never
`);
});

test("usage map in colours", () => {
  const two = usage(1, 2, (_, expert) => expert * 4);
  const [, , truecolor] = usageMap(two, { width: 80, depth: "truecolor" });
  expect(truecolor).toBe("L0 \x1b[2m  ·\x1b[22m\x1b[48;2;33;144;140m   \x1b[49m  1.41     1");
  const [, , indexed] = usageMap(two, { width: 80, depth: "256" });
  expect(indexed).toBe("L0 \x1b[2m  ·\x1b[22m\x1b[48;5;30m   \x1b[49m  1.41     1");
});

test.each([
  [48, 128],
  [61, 256],
  [24, 60],
  [1, 1],
  [94, 513],
])("%i layers of %i experts fit the screen", (layers, experts) => {
  const wide = usage(layers, experts, (layer, expert) => (layer * 7 + expert * 5) % 9, [
    "python",
    "a very long label that goes on",
    "日本語のラベル日本語",
    null,
  ]);
  for (const depth of ["none", "256", "truecolor"] satisfies ColourDepth[])
    for (const width of [80, 100]) {
      const terminal = { width, depth };
      const map = usageMap(wide, terminal);
      expect(map.length).toBeLessThanOrEqual(29);
      for (const line of [...map, ...usageByLabel(wide, 0, terminal)])
        expect(displayWidth(stripVTControlCharacters(line))).toBeLessThanOrEqual(width);
    }
});

test("merged cells and rows are said to be means", () => {
  const lines = usageMap(
    usage(48, 128, () => 1),
    plain,
  );
  expect(lines[1]).toBe("    0       16      32      48      64      80      96      112         CV never");
  expect(lines.slice(-2)).toEqual([
    "    each cell: the mean of 2 experts",
    "    each row: the mean of 2 layers, named by the first",
  ]);
});

test("usage by label", () => {
  const labelled = usage(1, 4, (_, expert) => expert, ["python", null]);
  expect(show(usageByLabel(labelled, 0, plain))).toBe(`
Usage by label in layer 0, against fair share (50 % of tokens)
         0  1  2  3    CV tokens
python      ░  ░  ▒  0.86    100
(none)      ░  ░  ▒  0.86    100
         · <½  ░ 1  ▒ 2  ▓ 3  █ 4+ × fair share, blank: never
`);
});

const strip = (text: string, generatedFrom = Infinity) =>
  [...text].map((char, position) => ({
    position,
    text: char,
    generated: position >= generatedFrom,
    experts: [(position * 5) % 16, (position * 3) % 16],
  }));

test("token strip: spaces, newlines, control characters, wide tokens, where the generation begins", () => {
  expect(show(tokenStrip(strip("a \n\x1b日x", 5), 10, plain))).toBe(`
     0  a  ·   ↵  <0x1B>  日  ▸x
   1st  0  5  10      15   4   9
   2nd  0  3   6       9  12  15
`);
});

test("token strip: what does not fit is counted", () => {
  const lines = tokenStrip(strip("x".repeat(100)), 6, plain);
  expect(lines).toHaveLength(7);
  expect(lines.at(-1)).toBe("       … 60 more tokens");
  for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(80);
});

test("token strip: at most four of many experts a token, the frequent ones coloured", () => {
  const tokens = [{ position: 0, text: "x", generated: false, experts: [9, 8, 7, 6, 5, 4] }];
  expect(tokenStrip(tokens, 10, plain)).toHaveLength(5);
  expect(tokenStrip(tokens, 10, { width: 80, depth: "256" })[1]).toContain("\x1b[38;5;");
});

test("header: one line where it fits, else two", () => {
  const short = { ...modelInfo({ name: "m" }), architecture: "olmoe" };
  expect(header(short, "llama.cpp", plain)).toEqual([
    "m  olmoe · 4 layers, all MoE · 16 experts, top-2 · 7.1 M · BF16        llama.cpp",
  ]);
  const long = modelInfo({ name: `\x1b[31m${"very-long-".repeat(12)}`, layers: 61, dense: 3 });
  const lines = header(long, "llama.cpp", plain);
  expect(lines).toHaveLength(2);
  expect(lines[1]).toBe("qwen3moe · 61 layers, 58 MoE · 16 experts, top-2 · 7.1 M · BF16");
  expect(lines.join("")).not.toContain("\x1b");
  for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(80);
});

test("specialized experts are aligned", () => {
  const one = {
    layer: 3,
    expert: 2,
    label: "python",
    share: 0.38,
    timesFair: 3.04,
    difference: 0.21,
    halfWidth: 0.052,
  };
  const other = {
    layer: 11,
    expert: 14,
    label: "c",
    share: 0.091,
    timesFair: 1.5,
    difference: 0.05,
    halfWidth: null,
  };
  const found = [one, other].map((each) => ({
    ...each,
    count: 1,
    pValue: 0.0005,
    qValue: each.layer === 3 ? 0.0005 : 0.031,
  }));
  expect(show(specializedExpertList(found, 0.125, [], plain))).toBe(`
Specialized experts (fair share 12.5 %; points more than the other labels, 95 %)
  L3 E2     python   38 % of tokens   3.0× fair   +21 ± 5.2   q < 0.001
  L11 E14   c         9 % of tokens   1.5× fair   +5          q = 0.031
`);
  expect(specializedExpertList([], 0.125, [null], plain)).toEqual([]);
});
