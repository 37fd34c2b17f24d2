import { describe, expect, it } from "vitest";
import { ModelError } from "../../src/core/errors.ts";
import type { EngineText } from "../../src/core/request.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { FakeEngine } from "../cli/fake-engine.ts";

/** Keeps what it was asked, and does what the test wants when it is asked. */
class AskedEngine extends FakeEngine {
  readonly asked: (readonly EngineText[])[] = [];
  beforeAnswer: () => Promise<void> = async () => {};

  override async tokenize(texts: readonly EngineText[]): Promise<Int32Array[]> {
    this.asked.push(texts);
    await this.beforeAnswer();
    return super.tokenize(texts);
  }
}

function asked() {
  const engine = new AskedEngine();
  return { engine, llm: LanguageModel.of(engine) };
}

const many = Array.from({ length: 5000 }, (_, i) => `prompt ${i}`);

describe("many prompts", () => {
  it("cross to the engine in few messages, and come back in their order", async () => {
    const { engine, llm } = asked();
    // Some may have a special token twice, as far as one can see without knowing what the tokenizer adds.
    const capture = await llm.capture(many, { streams: ["router_logits"] });
    expect(engine.asked.map(({ length }) => length)).toEqual([1024, 102, 1024, 1024, 1024, 904]);
    expect(capture.rows.sample.at(-1)).toBe(4999);
    expect(capture.sample(4321).rows.text.join("")).toBe(many[4321]);
  });

  it("of all forms keep their order, and only texts are asked for", async () => {
    const { engine, llm } = asked();
    const encoded = await llm.encodeAll(["ab", [99], { prompt: "d" }, [{ role: "user", content: "e" }], "f"]);
    expect(encoded.map((tokens) => String.fromCharCode(...tokens))).toEqual(["ab", "c", "d", "<user>e", "f"]);
    expect(engine.asked.flat().map(({ text }) => text)).toEqual(["ab", "d", "<user>e", "f"]);
  });

  it("that are long cross in more", async () => {
    const { engine, llm } = asked();
    await llm.encodeAll(Array.from({ length: 4 }, () => "xy".repeat(100_000)));
    expect(engine.asked.map(({ length }) => length)).toEqual([2, 2]);
  });

  it("are named where one is wrong", async () => {
    const { engine, llm } = asked();
    await expect(llm.encodeAll(["a", "b", "\ud800"])).rejects.toThrow("prompt 2 holds half a character");
    await expect(llm.encodeAll(["a", ""])).rejects.toThrow("prompt 1 is empty");
    await expect(llm.encodeAll(["a", [-1]])).rejects.toThrow("prompt 1");
    const long = {
      code: "CONTEXT_OVERFLOW",
      message: expect.stringContaining("prompt 3000 needs 5000 tokens"),
    };
    const texts = many.map((text, i) => (i === 3000 ? "x".repeat(5000) : text));
    await expect(llm.capture(texts, { streams: ["router_logits"] })).rejects.toMatchObject(long);
    expect(engine.asked.flat().every(({ where }) => where !== undefined)).toBe(true);
  });

  it("end with their signal, also while the engine does not answer", async () => {
    const { engine, llm } = asked();
    const why = new Error("no longer wanted");
    const stop = new AbortController();
    engine.beforeAnswer = async () => {
      if (engine.asked.length < 2) return;
      stop.abort(why);
      await new Promise(() => {});
    };
    await expect(llm.encodeAll(many, { signal: stop.signal })).rejects.toBe(why);
    expect(engine.asked).toHaveLength(2);
    await expect(llm.capture(many, { signal: AbortSignal.abort(why) })).rejects.toBe(why);
    expect(engine.asked).toHaveLength(2);
  });
});

it("a single text is not told which one it is", async () => {
  const { engine, llm } = asked();
  engine.beforeAnswer = async () => {
    const { where } = engine.asked.at(-1)![0]!;
    throw new ModelError("MODEL_INVALID", `${where}`);
  };
  await expect(llm.encode("a")).rejects.toThrow("undefined");
  await expect(llm.tokenize("a")).rejects.toThrow("undefined");
  await expect(llm.encodeAll(["a", "b"])).rejects.toThrow("prompt 0");
});
