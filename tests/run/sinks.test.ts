import { expect, onTestFinished, test, vi } from "vitest";
import { combine, type Reducer } from "../../src/analysis.ts";
import type { RunEnd, Sink } from "../../src/core/sink.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { syntheticEngine } from "../hs/synthetic-engine.ts";

const llm = LanguageModel.of(syntheticEngine());

/** A sink that fails where it is told to, and remembers what was called. */
function failing(where: readonly ("open" | "write" | "finish" | "close")[], name = "") {
  const calls: string[] = [];
  const ends: RunEnd[] = [];
  const step = (at: (typeof where)[number]) => {
    calls.push(at);
    if (where.includes(at)) throw new Error(`${at}${name} failed`);
  };
  const sink: Sink<number> = {
    open: () => step("open"),
    write: () => step("write"),
    finish: () => step("finish"),
    close: (end) => {
      ends.push(end);
      step("close");
      return 1;
    },
  };
  return { calls, ends, sink };
}

const streams = ["router_logits"];

test.each(["write", "finish"] as const)("a close that fails too does not hide that %s did", async (where) => {
  const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  onTestFinished(() => warn.mockRestore());
  const { sink, calls, ends } = failing([where, "close"]);
  await expect(llm.capture("abc", { into: sink, streams })).rejects.toThrow(`${where} failed`);
  expect(calls.filter((call) => call === "close")).toHaveLength(1);
  expect(ends[0]!.error).toMatchObject({ message: `${where} failed` });
  expect(warn).toHaveBeenCalledWith(expect.stringContaining("close failed"), {
    type: "MoescopeWarning",
    code: "SINK_NOT_CLOSED",
  });
});

test("a close that fails alone is the failure", async () => {
  const { sink } = failing(["close"]);
  await expect(llm.capture("abc", { into: sink, streams })).rejects.toThrow("close failed");
});

test("a sink that does not open is not closed", async () => {
  const { sink, calls } = failing(["open"]);
  await expect(llm.capture("abc", { into: sink, streams })).rejects.toThrow("open failed");
  expect(calls).toEqual(["open"]);
});

test("of sinks together, those that opened are closed when another does not", async () => {
  const [a, b, c] = [failing(["close"], " of a"), failing([]), failing(["open"], " of c")];
  const together = combine({
    a: a.sink as Reducer<number>,
    b: b.sink as Reducer<number>,
    c: c.sink as Reducer<number>,
  });
  await expect(llm.capture("abc", { into: together, streams })).rejects.toThrow("open of c failed");
  expect([a.calls, b.calls, c.calls]).toEqual([["open", "close"], ["open", "close"], ["open"]]);
  expect(b.ends[0]).toMatchObject({ finished: [], error: { message: "open of c failed" } });
});

test("of sinks together, each is closed, and the first that fails is told", async () => {
  const [a, b, c] = [failing(["close"], " of a"), failing(["close"], " of b"), failing([])];
  const together = combine({
    a: a.sink as Reducer<number>,
    b: b.sink as Reducer<number>,
    c: c.sink as Reducer<number>,
  });
  await expect(llm.capture("abc", { into: together, streams })).rejects.toThrow("close of a failed");
  for (const { calls } of [a, b, c]) expect(calls.at(-1)).toBe("close");
});
