import fc from "fast-check";
import { expect, test } from "vitest";
import { safeText, safeToken } from "../../src/core/safe-text.ts";
import { clip, displayWidth, padLeft, wrap } from "../../src/views/terminal/parts/text.ts";

test("nothing a terminal obeys gets through", () => {
  expect(safeText("a\x1b]0;title\x07b")).toBe("a<0x1B>]0;title<0x07>b");
  expect(safeText("\x9b31m\u202eevil\u2028")).toBe("<0x9B>31m<U+202E>evil<U+2028>");
  expect(safeText("a\r\n\tb")).toBe("a<0x0D>↵⇥b");
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(safeText(text)).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
    }),
  );
});

test("tokens show their spaces, and a lone combining mark stays in its cell", () => {
  expect(safeToken(" the")).toBe("·the");
  expect(safeToken("\n  ")).toBe("↵··");
  expect(safeToken("\u0301")).toBe("◌\u0301");
});

test.each([
  ["plain", 5],
  ["ü", 1],
  ["e\u0301", 1],
  ["日本語", 6],
  ["ｱ", 1],
  ["한국", 4],
  ["👍🏽", 2],
  ["👩‍👩‍👧", 2],
  ["❤️", 2],
  ["→©", 2],
])("%s takes %i columns", (text, width) => {
  expect(displayWidth(text)).toBe(width);
});

test("clipping and padding count columns, not characters", () => {
  expect(clip("日本語", 5)).toBe("日本…");
  expect(clip("日本語", 6)).toBe("日本語");
  expect(clip("abcdef", 4)).toBe("abc…");
  expect(padLeft("日", 4)).toBe("  日");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 1, max: 20 }), (text, width) => {
      expect(displayWidth(clip(safeText(text), width))).toBeLessThanOrEqual(width);
    }),
  );
});

test("lines are broken at spaces, long paths after slashes, the rest where it must be", () => {
  expect(wrap("one two three", 7)).toEqual(["one two", "three"]);
  expect(wrap("in /opt/some/folder/file here", 11)).toEqual(["in", "/opt/some/", "folder/file", "here"]);
  expect(wrap("a abcdefgh b", 3)).toEqual(["a", "abc", "def", "gh", "b"]);
  expect(wrap("", 5)).toEqual([""]);
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 2, max: 20 }), (text, width) => {
      const safe = safeText(text);
      const lines = wrap(safe, width);
      expect(Math.max(...lines.map(displayWidth))).toBeLessThanOrEqual(width);
      expect(lines.join("").replaceAll(" ", "")).toBe(safe.replaceAll(" ", ""));
    }),
  );
});
