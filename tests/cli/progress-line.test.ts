import { expect, test } from "vitest";
import { progressLine, progressText } from "../../src/cli/progress-line.ts";

const plain = { width: 80, depth: "none" } as const;

function clocked(isTTY: boolean) {
  const written: string[] = [];
  let time = 0;
  const pass = (ms: number) => {
    time += ms;
  };
  const stream = { isTTY, write: (text: string) => written.push(text) };
  return { written, line: progressLine(stream, plain, () => time), pass };
}

test("nothing for short work, then at most ten lines a second, and a clean end", () => {
  const { written, line, pass } = clocked(true);
  for (let step = 0; step < 49; step++) {
    line.update("Capturing", step, 100);
    pass(10);
  }
  expect(written).toEqual([]);
  for (let step = 49; step < 100; step++) {
    line.update("Capturing", step, 100);
    pass(10);
  }
  expect(written).toHaveLength(5);
  line.done();
  expect(written.at(-1)).toBe("\r\x1b[K");
});

test("nothing where stderr is no terminal", () => {
  const { written, line, pass } = clocked(false);
  line.update("Capturing", 0, 10);
  pass(5000);
  line.update("Capturing", 5, 10);
  line.done();
  expect(written).toEqual([]);
});

test("the line says how far, how fast and how long", () => {
  expect(progressText("Capturing", 1200, 2900, 4, plain)).toBe(
    "Capturing ━━━━━━━·········  41 %  1.2 k of 2.9 k tokens  300/s  6 s left",
  );
  expect(progressText("Loading the model", 0, null, 3, plain)).toBe("Loading the model …");
  expect(progressText("Capturing", 123_456, 9_876_543, 50_000, plain).length).toBeLessThan(80);
});
