import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it, vi } from "vitest";
import type { Engine, EngineCall, Step } from "../../src/core/engine.ts";
import type { Sink } from "../../src/core/sink.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { RunQueue } from "../../src/run/run-queue.ts";
import { StreamReader } from "../../src/run/stream-reader.ts";
import type { TokenEvent } from "../../src/run/token-event.ts";
import { StepwiseEngine } from "../server/stepwise-engine.ts";

const LOGITS = { streams: ["router_logits"] } as const;

function loaded() {
  const engine = new StepwiseEngine();
  return { engine, llm: LanguageModel.of(engine) };
}

const textOf = (events: readonly TokenEvent[]) => events.map(({ text }) => text).join("");

/** The first events of a stream, which is then left as it is. */
async function begin(stream: AsyncGenerator<TokenEvent>, events: number): Promise<TokenEvent[]> {
  const taken: TokenEvent[] = [];
  while (taken.length < events) taken.push((await stream.next()).value as TokenEvent);
  return taken;
}

describe("a stream that waits for its reader", () => {
  it("lets its reader capture at every token, and goes on where it was", async () => {
    const { engine, llm } = loaded();
    const events: TokenEvent[] = [];
    const captured: string[] = [];
    for await (const event of llm.stream("abc", { ...LOGITS, maxTokens: 4 })) {
      events.push(event);
      const { rows } = await llm.capture(event.text, LOGITS);
      captured.push(rows.text.join(""));
    }
    expect(textOf(events)).toBe("abcabc");
    expect(captured).toEqual([..."abcabc"]);
    const alone = await llm.capture("abc", { ...LOGITS, maxTokens: 4 });
    const logits = events.flatMap(({ streams }) => [...streams.get("router_logits")!.get(1)!]);
    expect(logits).toEqual([...alone.routerLogits.get(1)!.data]);
    expect(engine.mostAtOnce).toBe(1);
  });

  it("lets its reader stream, and ask for tensors, too", async () => {
    const engine: Engine = Object.assign(new StepwiseEngine(), {
      tensors: ({ alone }: EngineCall = {}) => alone!(async () => []),
    });
    const llm = LanguageModel.of(engine);
    let inner = "";
    for await (const { text } of llm.stream("ab", { ...LOGITS, maxTokens: 3 })) {
      inner += text;
      for await (const event of llm.stream(text, LOGITS)) inner += event.text.toUpperCase();
      expect(await llm.tensors()).toEqual([]);
    }
    expect(inner).toBe("aAbBaAbB");
  });

  it("computes no further than it is read while nobody else wants the model", async () => {
    const { engine, llm } = loaded();
    const stream = llm.stream("ab", { ...LOGITS, maxTokens: 50 });
    await begin(stream, 3);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(engine.steps).toBe(2);
    await stream.return();
    expect(engine.running).toBe(0);
  });

  it("stops running ahead when nobody waits any more", async () => {
    const { engine, llm } = loaded();
    engine.stepMs = 2;
    const stream = llm.stream("ab", { ...LOGITS, maxTokens: 500 });
    await begin(stream, 3);
    await expect(llm.capture("c", { ...LOGITS, signal: AbortSignal.timeout(30) })).rejects.toMatchObject({
      name: "TimeoutError",
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const { steps } = engine;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(engine.steps).toBe(steps);
    expect(steps).toBeLessThan(100);
    await stream.return();
  });

  it("that was begun and dropped is finished for those who come after", async () => {
    const { llm } = loaded();
    const stream = llm.stream("ab", { ...LOGITS, maxTokens: 20 });
    await begin(stream, 1);
    const captures = await Promise.all(["c", "d"].map((text) => llm.capture(text, LOGITS)));
    expect(captures.map(({ rows }) => rows.text.join(""))).toEqual(["c", "d"]);
    // It has lost nothing.
    const rest: TokenEvent[] = [];
    for await (const event of stream) rest.push(event);
    expect(textOf(rest)).toHaveLength(20);
  });

  it("that was begun and dropped stops when it is garbage", async () => {
    const { engine, llm } = loaded();
    setFlagsFromString("--expose-gc");
    const gc = runInNewContext("gc") as () => void;
    await (async () => void (await begin(llm.stream("ab", { ...LOGITS, maxTokens: 50 }), 3)))();
    expect(engine.running).toBe(1);
    await vi.waitFor(
      async () => {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 10));
        expect(engine.running).toBe(0);
      },
      { timeout: 10_000 },
    );
    expect((await llm.capture("c", LOGITS)).rows.length).toBe(1);
  });

  it("frees the model when its signal is aborted, though nobody reads it", async () => {
    const { engine, llm } = loaded();
    const abort = new AbortController();
    const stream = llm.stream("ab", { ...LOGITS, maxTokens: 50, signal: abort.signal });
    await begin(stream, 3);
    abort.abort(new Error("enough"));
    await expect.poll(() => engine.running).toBe(0);
    await expect(stream.next()).rejects.toThrow("enough");
    expect((await llm.capture("c", LOGITS)).rows.length).toBe(1);
  });

  it("tells its reader of a failure after the steps before it", async () => {
    const { engine, llm } = loaded();
    engine.failAt = { step: 4, error: new Error("the step failed") };
    const stream = llm.stream("ab", { ...LOGITS, maxTokens: 50 });
    const first = await begin(stream, 1);
    expect((await llm.capture("c", LOGITS)).rows.text).toEqual(["c"]);
    expect(textOf([...first, ...(await begin(stream, 3))])).toBe("abab");
    await expect(stream.next()).rejects.toThrow("the step failed");
  });

  it("is an error for those who wait where its rest has no room", async () => {
    const queue = new RunQueue();
    async function* run(signal: AbortSignal): AsyncGenerator<Step> {
      for (let i = 0; i < 100; i++) {
        signal.throwIfAborted();
        yield step(i);
      }
    }
    const reader = new StreamReader(queue, run, undefined, () => 1000);
    await reader.next();
    await expect(queue.take()).rejects.toMatchObject({
      code: "ENGINE_BUSY",
      retryable: true,
      message: expect.stringContaining("read it to its end or leave it"),
    });
    // The next one asks anew, and is told the same; what is read meanwhile makes room.
    await expect(queue.take()).rejects.toMatchObject({ code: "ENGINE_BUSY" });
    const waiting = queue.take();
    const all = (async () => {
      let steps = 1;
      while (await reader.next()) steps++;
      return steps;
    })();
    await waiting.catch(() => {});
    expect(await all).toBe(100);
    (await queue.take()).release();
  });
});

/** A step of one row with 100 bytes of values. */
const step = (position: number): Step => ({
  batch: {
    rows: 1,
    sample: Int32Array.of(0),
    position: Int32Array.of(position),
    tokenId: Int32Array.of(1),
    phase: Uint8Array.of(1),
    streams: new Map([["router_logits", new Map([[0, new Float32Array(25)]])]]),
  },
  drawn: [],
  finished: [],
  processed: 1,
});

describe("a sink", () => {
  /** Calls back while the engine waits for it. */
  const sinkThat = (does: () => Promise<unknown>): Sink<string> => ({
    open: async () => {},
    write: async () => void (await does()),
    close: async () => "closed",
  });

  it("that asks the same model for a run, and would wait for itself, gets an error", async () => {
    const { llm } = loaded();
    const busy = { code: "ENGINE_BUSY", message: expect.stringContaining("the sink of a run") };
    await expect(
      llm.capture("ab", { ...LOGITS, into: sinkThat(() => llm.capture("c", LOGITS)) }),
    ).rejects.toMatchObject(busy);
    await expect(
      llm.capture("ab", { ...LOGITS, into: sinkThat(() => llm.stream("c", LOGITS).next()) }),
    ).rejects.toMatchObject(busy);
    // Also by way of another model.
    const other = loaded().llm;
    const roundabout = sinkThat(() => llm.capture("c", LOGITS));
    const there = sinkThat(() => other.capture("d", { ...LOGITS, into: roundabout }));
    await expect(llm.capture("ab", { ...LOGITS, into: there })).rejects.toMatchObject(busy);
    expect((await llm.capture("e", LOGITS)).rows.length).toBe(1);
  });

  it("may run another model, and the same one after its run", async () => {
    const { llm } = loaded();
    const other = loaded().llm;
    let later: Promise<unknown> | undefined;
    const into = sinkThat(async () => {
      await other.capture("c", LOGITS);
      later = new Promise((resolve) => setTimeout(resolve, 50)).then(() => llm.capture("d", LOGITS));
    });
    expect(await llm.capture("a", { ...LOGITS, into })).toBe("closed");
    await later;
  });
});

describe("the queue", () => {
  it("gives turns in the order in which they were asked for, each once", async () => {
    const queue = new RunQueue();
    const order: number[] = [];
    const first = await queue.take();
    const others = [1, 2, 3].map(async (n) => {
      const turn = await queue.take();
      order.push(n);
      turn.release();
      turn.release();
    });
    expect(queue.length).toBe(3);
    first.release();
    await Promise.all(others);
    expect(order).toEqual([1, 2, 3]);
    expect(queue.length).toBe(0);
  });

  it("lets those who wait leave at once by their signal, and passes them over", async () => {
    const { engine, llm } = loaded();
    engine.stepMs = 5;
    const long = llm.capture("ab", { ...LOGITS, maxTokens: 40 });
    const abort = new AbortController();
    const waiting = llm.capture("c", { ...LOGITS, signal: abort.signal });
    const last = llm.capture("d", LOGITS);
    await expect.poll(() => engine.steps).toBeGreaterThan(2);
    const { steps } = engine;
    abort.abort(new Error("no longer wanted"));
    await expect(waiting).rejects.toThrow("no longer wanted");
    expect(engine.steps).toBeLessThan(steps + 3);
    expect((await long).rows.length).toBe(41);
    expect((await last).rows.text).toEqual(["d"]);
    expect(engine.mostAtOnce).toBe(1);
  });

  it("rejects those who wait when the model is closed", async () => {
    const { llm } = loaded();
    const stream = llm.stream("ab", { ...LOGITS, maxTokens: 1000 });
    await begin(stream, 1);
    const waiting = llm.capture([Int32Array.of(97)], LOGITS);
    waiting.catch(() => {});
    await new Promise(setImmediate);
    await llm.close();
    await expect(waiting).rejects.toMatchObject({ code: "ENGINE_CLOSED" });
    await expect(llm.capture("c", LOGITS)).rejects.toMatchObject({ code: "ENGINE_CLOSED" });
    await stream.return();
  });
});
