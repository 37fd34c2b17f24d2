import { describe, expect, it } from "vitest";
import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import type { Isolation } from "../../src/engines/llama/host/load-host.ts";
import { load } from "../../src/run/load.ts";
import { ggufOf, maxDifference } from "../fixtures/families.ts";

const MINUTES = 5 * 60_000;
const model = ggufOf("qwen3_moe");

describe("memory", () => {
  /** V8's heaps grow by some 20 MB before they are collected; 600 cycles that left 0.1 MB each would add 60. */
  const MAX_GROWTH = 40e6;

  it.each([
    ["thread", 600],
    ["process", 20],
  ] as const)(
    "of this process is flat: %s, %i cycles of load and close",
    { timeout: MINUTES },
    async (isolate, cycles) => {
      const cycle = async () => {
        const llm = await load(model, { threads: 1, contextSize: 4096, isolate });
        await llm.capture("a b c", { maxTokens: 2, ignoreEos: true });
        await llm.close();
      };
      // The allocator and V8 take what they will keep.
      for (let i = 0; i < cycles / 10; i++) await cycle();
      const before = process.memoryUsage().rss;
      for (let i = 0; i < cycles; i++) await cycle();
      const growth = process.memoryUsage().rss - before;
      expect(growth).toBeLessThan(MAX_GROWTH);
    },
  );
});

describe("an abort at any moment", () => {
  it.each(["thread", "process"] as const)(
    "of a run (%s) leaves an engine that is right",
    { timeout: MINUTES },
    async (isolate) => {
      const llm = await load(model, { threads: 1, contextSize: 4096, isolate });
      const long = Array.from({ length: 1500 }, (_, i) => 3 + (i % 200));
      const right = await llm.capture([5, 6, 7]);
      const random = seededRandom(1);
      for (let i = 0; i < 50; i++) {
        const controller = new AbortController();
        const reason = new Error(`abort ${i}`);
        setTimeout(() => controller.abort(reason), random() * 60);
        // Every other one has a prompt to get through first; the others generate from the start.
        const prompt = i % 2 === 0 ? long : [5, 6];
        const options = { maxTokens: 2500, ignoreEos: true, signal: controller.signal };
        await expect(llm.capture([prompt], options)).rejects.toBe(reason);
        if (i % 5 > 0) continue;
        const after = await llm.capture([5, 6, 7]);
        for (const [layer, { data }] of right.routerLogits)
          expect(maxDifference(data, after.routerLogits.get(layer)!.data)).toBe(0);
      }
      await llm.close();
    },
  );

  it.each(["thread", "process"] as Isolation[])(
    "of a load (%s) rejects at once, and the next load works",
    { timeout: MINUTES },
    async (isolate) => {
      const random = seededRandom(2);
      for (let i = 0; i < 20; i++) {
        const controller = new AbortController();
        const reason = new Error(`abort ${i}`);
        const timer = setTimeout(() => controller.abort(reason), random() * 250);
        const outcome = await load(model, {
          threads: 1,
          contextSize: 512,
          isolate,
          signal: controller.signal,
        }).catch((error) => error);
        clearTimeout(timer);
        if (outcome !== reason) await outcome.close();
      }
      const llm = await load(model, { threads: 1, contextSize: 512, isolate });
      expect((await llm.capture("a b")).rows.length).toBeGreaterThan(0);
      await llm.close();
    },
  );

  it("of one of two loads does not disturb the other", async () => {
    const controller = new AbortController();
    const both = [
      load(model, { threads: 1, signal: controller.signal }),
      load(ggufOf("mixtral"), { threads: 1 }),
    ];
    controller.abort("no");
    await expect(both[0]).rejects.toBe("no");
    const llm = await both[1]!;
    expect((await llm.capture("a b")).rows.length).toBeGreaterThan(0);
    await llm.close();
  });
});
