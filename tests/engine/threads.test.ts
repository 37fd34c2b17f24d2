import { availableParallelism } from "node:os";
import { expect, it } from "vitest";
import { defaultThreads } from "../../src/engines/llama/native/threads.ts";

it("gives a thread to each 16 MiB of weights, and never more threads than there are cores", () => {
  expect([0, 14e6, 16 << 20].map(defaultThreads)).toEqual([1, 1, 1]);
  expect(defaultThreads((16 << 20) + 1)).toBe(Math.min(2, defaultThreads(40e9)));
  expect(defaultThreads(40e9)).toBeGreaterThanOrEqual(1);
  expect(defaultThreads(40e9)).toBeLessThanOrEqual(availableParallelism());
});
