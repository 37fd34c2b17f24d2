import fc from "fast-check";
import { expect, test } from "vitest";
import {
  clampSpan,
  levelFor,
  panSpan,
  revealCell,
  tickStep,
  zoomSpan,
} from "../../web/src/canvas/viewport.ts";

const cells = fc.integer({ min: 1, max: 1_000_000 });
const span = fc.record({
  start: fc.double({ min: -1e6, max: 1e6, noNaN: true }),
  length: fc.double({ min: 0.01, max: 2e6, noNaN: true }),
});

test("what is seen always lies within the map", () => {
  fc.assert(
    fc.property(
      cells,
      span,
      fc.double({ min: 0.01, max: 100, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (n, of, factor, part) => {
        for (const seen of [
          clampSpan(of, n),
          zoomSpan(clampSpan(of, n), n, factor, part),
          panSpan(clampSpan(of, n), n, of.start),
        ]) {
          expect(seen.start).toBeGreaterThanOrEqual(0);
          expect(seen.start + seen.length).toBeLessThanOrEqual(n + 1e-6);
          expect(seen.length).toBeGreaterThanOrEqual(Math.min(4, n));
        }
      },
    ),
  );
});

test("zooming keeps what the pointer is on", () => {
  const before = { start: 1000, length: 400 };
  const after = zoomSpan(before, 100_000, 2, 0.25);
  expect(after.length).toBe(200);
  expect(after.start + 0.25 * after.length).toBe(before.start + 0.25 * before.length);
});

test("a cell is brought into view by the shortest way", () => {
  const seen = { start: 100, length: 50 };
  expect(revealCell(seen, 1000, 120)).toBe(seen);
  expect(revealCell(seen, 1000, 160).start).toBe(111);
  expect(revealCell(seen, 1000, 90).start).toBe(90);
});

test("as much detail is drawn as can be seen", () => {
  expect(levelFor(0.1, 8)).toBe(0);
  expect(levelFor(1.9, 8)).toBe(0);
  expect(levelFor(2, 8)).toBe(1);
  expect(levelFor(100, 8)).toBe(6);
  expect(levelFor(1e9, 8)).toBe(7);
});

test("ticks are round and far enough apart", () => {
  expect(tickStep(40, 28)).toBe(1);
  expect(tickStep(10, 28)).toBe(5);
  expect(tickStep(0.01, 56)).toBe(10_000);
});
