import fc from "fast-check";
import { expect, test } from "vitest";
import type { RowBatch } from "../../src/core/rows.ts";
import { TextStream } from "../../src/server/openai/text-stream.ts";

/** A vocabulary in which each byte is a token. */
const utf8 = new TextEncoder();
const batchOf = (byte: number): RowBatch => ({
  rows: 1,
  sample: Int32Array.of(0),
  position: Int32Array.of(0),
  tokenId: Int32Array.of(byte),
  phase: Uint8Array.of(1),
  streams: new Map(),
});

async function streamed(text: string, stops: string[]) {
  let longest = 0;
  const stream = new TextStream(stops, async (tokens) => {
    longest = Math.max(longest, tokens.length);
    return new TextDecoder().decode(Uint8Array.from(tokens));
  });
  const pieces: string[] = [];
  for (const byte of utf8.encode(text)) pieces.push(await stream.add(batchOf(byte), 0));
  return { pieces, longest, end: (final: string) => stream.end(final) };
}

test("the pieces add up to the text, whole characters each", async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 40 }), async (text) => {
      const { pieces, end } = await streamed(text, []);
      for (const piece of pieces) expect(piece).not.toContain("\uFFFD");
      expect(pieces.join("") + end(text)).toBe(text);
    }),
    { numRuns: 50 },
  );
});

test("a stop string that may be coming is held back", async () => {
  const { pieces, end } = await streamed("one two END", ["END."]);
  expect(pieces.join("")).toBe("one two ");
  expect(end("one two END")).toBe("END");
});

test("a token of a long answer takes no longer than one of a short one", async () => {
  const { pieces, longest } = await streamed("a café, ".repeat(200), []);
  expect(pieces.join("")).toBe("a café, ".repeat(200));
  // A character's bytes with those of the one before.
  expect(longest).toBeLessThanOrEqual(4);
});
