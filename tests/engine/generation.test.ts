import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LanguageModel } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import type { TokenEvent } from "../../src/run/token-event.ts";
import { ggufOf } from "../fixtures/families.ts";

let llm: LanguageModel;
beforeAll(async () => {
  llm = await load(ggufOf("qwen3_moe"), { threads: 1, contextSize: 512 });
});
afterAll(() => llm.close());

const generate = async (options: object, prompt = "The router") =>
  (await llm.capture(prompt, { maxTokens: 24, ignoreEos: true, ...options })).outputs[0]!;

describe("sampling", () => {
  it("greedy is the default and repeats", async () => {
    const [a, b] = [await generate({}), await generate({ temperature: 0, seed: 9 })];
    expect(a.tokens).toEqual(b.tokens);
    expect(a).toMatchObject({ reason: "length", sample: 0 });
    expect(a.tokens).toHaveLength(24);
  });

  it("a seed fixes what temperature draws, also among other samples", async () => {
    const hot = { temperature: 1.5, seed: 7 };
    const [a, b, c] = [await generate(hot), await generate(hot), await generate({ ...hot, seed: 8 })];
    expect(a.tokens).toEqual(b.tokens);
    expect(a.tokens).not.toEqual(c.tokens);
    const batch = await llm.capture(["The router", "The router"], { maxTokens: 24, ignoreEos: true, ...hot });
    expect(batch.outputs[0]!.tokens).toEqual(batch.outputs[1]!.tokens);
  });

  it("top-k 1, a tiny top-p and a large min-p leave only the best token", async () => {
    const greedy = await generate({});
    for (const cut of [{ topK: 1 }, { topP: 1e-6 }, { minP: 0.999999 }])
      expect((await generate({ temperature: 1, seed: 3, ...cut })).tokens).toEqual(greedy.tokens);
  });

  it("stops before a stop string", async () => {
    const { text } = await generate({});
    const stop = text.slice(6, 9);
    const stopped = await generate({ stop: [stop, "never there"] });
    expect(stopped).toMatchObject({ reason: "stop", text: text.slice(0, text.indexOf(stop)) });
  });

  it("the text is that of the tokens", async () => {
    const { text, tokens } = await generate({});
    expect(await llm.detokenize(tokens)).toBe(text);
  });
});

describe("stream", () => {
  it("yields each token with its routing, in order, equal to a capture", async () => {
    const options = { maxTokens: 10, ignoreEos: true, streams: ["router_logits", "expert_ids"] } as const;
    const capture = await llm.capture("The router", options);
    const events: TokenEvent[] = [];
    for await (const event of llm.stream("The router", options)) events.push(event);
    expect(events.map(({ position }) => position)).toEqual(
      capture.rows.length === 0 ? [] : [...capture.rows.position],
    );
    expect(events.map(({ text }) => text)).toEqual(capture.rows.text);
    expect(events.map(({ phase }) => phase)).toEqual(capture.rows.phase);
    const ids = capture.expertIds.get(1)!;
    const logits = capture.routerLogits.get(2)!;
    events.forEach(({ streams }, row) => {
      expect([...streams.get("expert_ids")!.get(1)!]).toEqual([...ids.data.subarray(row * 2, row * 2 + 2)]);
      expect([...streams.get("router_logits")!.get(2)!]).toEqual([
        ...logits.data.subarray(row * 8, row * 8 + 8),
      ]);
    });
  });

  it("can be left at any time", async () => {
    let seen = 0;
    for await (const _ of llm.stream("The router", { maxTokens: 400, ignoreEos: true }))
      if (++seen === 12) break;
    expect(seen).toBe(12);
    expect((await llm.capture("The router")).rows.length).toBeGreaterThan(0);
  });
});

describe("selection", () => {
  const capture = (select: object, maxTokens = 8) =>
    llm.capture(["The router sent", "experts"], { maxTokens, ignoreEos: true, select });
  const positions = async (select: object, maxTokens?: number) => {
    const { rows, samples } = await capture(select, maxTokens);
    return samples.map((_, s) => [...rows.position].filter((_, row) => rows.sample[row] === s));
  };
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

  it("by phase, positions and the last n, alone and together", async () => {
    const lengths = (await capture({})).samples.map(({ promptTokens }) => promptTokens) as [number, number];
    expect(await positions({ phase: "prompt" })).toEqual(lengths.map((n) => range(0, n)));
    expect(await positions({ phase: "generated" })).toEqual(lengths.map((n) => range(n, n + 7)));
    expect(await positions({ positions: [1, 3, 500] })).toEqual(
      lengths.map((n) => [1, 3].filter((p) => p < n + 7)),
    );
    expect(await positions({ last: 3 })).toEqual(lengths.map((n) => range(n + 4, n + 7)));
    expect(await positions({ phase: "prompt", last: 2 })).toEqual(lengths.map((n) => range(n - 2, n)));
    expect(await positions({ phase: "generated", last: 4 })).toEqual(lengths.map((n) => range(n + 3, n + 7)));
    expect(await positions({ positions: [0, 1, 2], last: 1 }, 0)).toEqual(
      lengths.map((n) => [Math.min(2, n - 1)]),
    );
  });

  it("keeps the values of the rows it keeps", async () => {
    const all = await capture({});
    const some = await capture({ phase: "generated", last: 4 });
    for (const [layer, { data, dims }] of some.routerLogits) {
      const width = dims[1]!;
      let row = 0;
      for (let i = 0; i < all.rows.length; i++) {
        const [s, p] = [all.rows.sample[i], all.rows.position[i]];
        if (some.rows.sample[row] !== s || some.rows.position[row] !== p) continue;
        expect([...data.subarray(row * width, (row + 1) * width)]).toEqual([
          ...all.routerLogits.get(layer)!.data.subarray(i * width, (i + 1) * width),
        ]);
        row++;
      }
      expect(row).toBe(some.rows.length);
    }
  });
});

describe("chat", () => {
  const messages = [{ role: "user", content: "Hi there" }];

  it("goes through the model's own template", async () => {
    const { rows } = await llm.capture([{ messages, label: "greeting" }]);
    expect(rows.text.join("")).toBe("<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n");
    expect(new Set(rows.label)).toEqual(new Set(["greeting"]));
    expect((await llm.capture(messages)).rows.text).toEqual(rows.text);
  });

  it("without a template is an error", async () => {
    const plain = await load(ggufOf("mixtral"), { contextSize: 128 });
    await expect(plain.capture([{ messages }])).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await plain.close();
  });
});
