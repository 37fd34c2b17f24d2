import { describe, expect, it } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import { EngineError } from "../../src/core/errors.ts";
import type { Sink } from "../../src/core/sink.ts";
import type { Tensor } from "../../src/core/tensor.ts";
import type { LanguageModel } from "../../src/run/language-model.ts";
import type { Prompt } from "../../src/run/prompts/prompt-object.ts";
import type { TokenEvent } from "../../src/run/token-event.ts";

const LOGITS = { streams: ["router_logits"], ignoreEos: true } as const;
const ABC = [97, 98, 99];
const DE = [100, 101];

/** What engines differ in. */
export interface Abilities {
  /** Tokens that runs generate; 0 for a fake that has rows of prompts only. */
  readonly generated?: number;
  /** Whether what a model computes can be changed. */
  readonly edits?: boolean;
  /** Loads a model whose runs fail after some steps; absent where that cannot be brought about. */
  readonly failing?: () => Promise<LanguageModel>;
  /** Starting takes so long that all tests use one model. The last of them closes it. */
  readonly slow?: { readonly timeout: number };
}

/** What every engine, real or fake, is held to. A token id from 97 to 122 is in the vocabulary of each. */
export function conformance(
  name: string,
  make: () => Promise<LanguageModel>,
  { generated = 4, edits = false, failing, slow }: Abilities = {},
): void {
  describe(`${name} does as every engine does`, slow ?? {}, () => {
    let only: Promise<LanguageModel> | undefined;
    const loaded = () => {
      if (slow) only ??= make();
      return only ?? make();
    };
    const using = async (work: (llm: LanguageModel) => Promise<void>) => {
      const llm = await loaded();
      try {
        await work(llm);
      } finally {
        if (!slow) await llm.close();
      }
    };
    const many = Array.from({ length: 40 }, (_, i) => [97 + (i % 26), 98, 99]);
    /** Whatever was before: the model still gives right rows. */
    const stillRight = async (llm: LanguageModel) => labelled(await llm.capture([ABC], LOGITS), [ABC], 0);

    it("labels the rows of several samples, in order", () =>
      using(async (llm) => {
        const capture = await llm.capture([ABC, DE, ABC], { ...LOGITS, maxTokens: generated });
        labelled(capture, [ABC, DE, ABC], generated);
        expect(capture.complete).toBe(true);
        expect(capture.outputs.map(({ sample, reason }) => [sample, reason])).toEqual([
          [0, "length"],
          [1, "length"],
          [2, "length"],
        ]);
        for (const { length } of capture.outputs.map(({ tokens }) => tokens)) expect(length).toBe(generated);
        // Different tokens have different logits, and the same ones nearly the same.
        const rows = capture.routerLogits.get(llm.info.moe!.layers[0]!)!;
        const row = (sample: number, at: number) => {
          const from =
            (sample * (3 + Math.max(0, generated - 1)) - (sample > 1 ? 1 : 0) + at) * rows.dims[1]!;
          return [...rows.data.slice(from, from + rows.dims[1]!)];
        };
        expect(distance(row(0, 0), row(2, 0))).toBeLessThan(1e-2);
        expect(distance(row(0, 0), row(0, 1))).toBeGreaterThan(1e-2);
      }));

    it("makes an edit, or refuses it with words", () =>
      using(async (llm) => {
        const edited = llm.capture([ABC], { ...LOGITS, edits: [{ ban: [0] }] });
        if (edits) labelled(await edited, [ABC], 0);
        else
          await expect(edited).rejects.toMatchObject({
            code: "INVALID_ARGUMENT",
            message: expect.stringContaining("cannot make the edit ban"),
          });
        await stillRight(llm);
      }));

    it("puts the chunks of a long prompt together", () =>
      using(async (llm) => {
        const long = Array.from({ length: Math.min(600, llm.contextSize - 8) }, (_, i) => 97 + (i % 26));
        labelled(await llm.capture([long, ABC], LOGITS), [long, ABC], 0);
      }));

    it("makes lists of prompts into tokens, in their order, and names the one that is none", () =>
      using(async (llm) => {
        const texts = ["a", "the experts", "b c"];
        const each: Int32Array[] = [];
        for (const text of texts) each.push(await llm.encode(text));
        expect(await llm.encodeAll(texts)).toEqual(each);
        const mixed = await llm.encodeAll([ABC, "a", DE, { prompt: "b c", label: "x" }]);
        expect(mixed.map((tokens) => [...tokens])).toEqual([ABC, [...each[0]!], DE, [...each[2]!]]);
        expect(mixed.map((tokens) => tokens.length)).not.toContain(0);
        await expect(llm.encodeAll(["a", [-1]])).rejects.toThrow("prompt 1");
      }));

    it("gives the rows that are selected, and no others", () =>
      using(async (llm) => {
        const at = async (select: object) => [
          ...(await llm.capture([ABC, DE], { ...LOGITS, maxTokens: generated, select })).rows.position,
        ];
        expect(await at({ phase: "prompt" })).toEqual([0, 1, 2, 0, 1]);
        expect(await at({ positions: [1] })).toEqual([1, 1]);
        expect(await at({ phase: "prompt", last: 1 })).toEqual([2, 1]);
        const rows = Math.max(0, generated - 1);
        expect(await at({ phase: "generated" })).toHaveLength(2 * rows);
      }));

    it("selects by end of the prompt, token, window and step, prompt by prompt, and leaves out", () =>
      using(async (llm) => {
        const at = async (select: object, prompts: Prompt[] = [ABC, DE]) => {
          const { rows } = await llm.capture(prompts, { ...LOGITS, maxTokens: generated, select });
          return [...rows.position].map((position, row) => [rows.sample[row], position]);
        };
        const prompt = { phase: "prompt" } as const;
        expect(await at({ positions: [-1] })).toEqual([
          [0, 2],
          [1, 1],
        ]);
        expect(await at({ positions: [0, -1] })).toEqual([
          [0, 0],
          [0, 2],
          [1, 0],
          [1, 1],
        ]);
        expect(await at({ ...prompt, tokenIds: [98, 101] })).toEqual([
          [0, 1],
          [1, 1],
        ]);
        expect(await at({ ...prompt, window: [-2, null] })).toEqual([
          [0, 1],
          [0, 2],
          [1, 0],
          [1, 1],
        ]);
        expect(await at({ window: [1, -1] })).toEqual([[0, 1]]);
        expect(await at({ ...prompt, exclude: { tokenIds: [97] } })).toEqual([
          [0, 1],
          [0, 2],
          [1, 0],
          [1, 1],
        ]);
        expect(await at({ ...prompt, tokenIds: [97, 98], last: 1 })).toEqual([[0, 1]]);
        const own = { tokenIds: ABC, select: { positions: [0] } };
        expect(await at(prompt, [own, DE])).toEqual([
          [0, 0],
          [1, 0],
          [1, 1],
        ]);
        expect(await at({ ...prompt, last: 1 }, [{ ...own, select: { ...prompt, last: 2 } }, DE])).toEqual([
          [0, 1],
          [0, 2],
          [1, 1],
        ]);
        if (generated < 3) return;
        expect(await at({ steps: [0] })).toEqual([
          [0, 3],
          [1, 2],
        ]);
        expect(await at({ stepWindow: [1, null], exclude: { steps: [1] }, last: 1 })).toEqual(
          generated > 3
            ? [
                [0, 1 + generated],
                [1, generated],
              ]
            : [],
        );
        const any = [{ positions: [-1] }, { steps: [1] }];
        expect(await at({ any })).toEqual([
          [0, 2],
          [0, 4],
          [1, 1],
          [1, 3],
        ]);
      }));

    it("reduces the rows of a sample to the last one or their mean", () =>
      using(async (llm) => {
        const options = { ...LOGITS, maxTokens: generated };
        const layer = llm.info.moe!.layers[0]!;
        const whole = await llm.capture([ABC, DE], options);
        const last = await llm.capture([ABC, DE], { ...options, reduce: "last" });
        const extra = Math.max(0, generated - 1);
        expect([...last.rows.position]).toEqual([2 + extra, 1 + extra]);
        for (const select of [{}, { phase: "prompt" }, { phase: "prompt", last: 2 }] as const) {
          const rows = await llm.capture([ABC, DE], { ...options, select });
          const means = await llm.capture([ABC, DE], { ...options, select, reduce: "mean" });
          expect(means.rows).toMatchObject({
            length: 2,
            sample: Int32Array.of(0, 1),
            position: Int32Array.of(-1, -1),
            tokenId: Int32Array.of(-1, -1),
          });
          for (const sample of [0, 1])
            expect(
              distance(
                [...means.sample(sample).routerLogits.get(layer)!.data],
                meanOf(rows.sample(sample).routerLogits.get(layer)!),
              ),
            ).toBeLessThan(1e-2);
          expect(means.outputs).toHaveLength(2);
        }
        expect(whole.rows.length).toBe(5 + 2 * extra);
        const none = await llm.capture([ABC], { ...options, select: { tokenIds: [122] }, reduce: "mean" });
        expect(none.rows.length).toBe(0);
      }));

    it("obeys a signal before, during and while it waits for its turn", () =>
      using(async (llm) => {
        const why = new Error("no longer wanted");
        await expect(llm.capture([ABC], { ...LOGITS, signal: AbortSignal.abort(why) })).rejects.toBe(why);
        const during = new AbortController();
        const options = { ...LOGITS, maxTokens: generated, signal: during.signal };
        await expect(llm.capture(many, { ...options, onProgress: () => during.abort(why) })).rejects.toBe(
          why,
        );
        await stillRight(llm);
        const { sink, gate, begun } = gated();
        const first = llm.capture(many, { ...LOGITS, into: sink });
        await begun;
        const waiting = new AbortController();
        const queued = llm.capture([ABC], { ...LOGITS, signal: waiting.signal });
        setTimeout(() => waiting.abort(why), 5);
        await expect(queued).rejects.toBe(why);
        gate();
        expect(await first).toBe(many.length * 3);
        await stillRight(llm);
      }));

    it("does one run after the other when two are asked for at once", () =>
      using(async (llm) => {
        const options = { ...LOGITS, maxTokens: generated };
        const [a, b] = await Promise.all([llm.capture(many, options), llm.capture([DE], options)]);
        labelled(a, many, generated);
        labelled(b, [DE], generated);
      }));

    it("is free when a stream was left early, and when one was begun and dropped", () =>
      using(async (llm) => {
        const options = { ...LOGITS, maxTokens: generated };
        for await (const { tokenId, sample } of llm.stream(many, options)) {
          expect(many[sample]).toContain(tokenId);
          break;
        }
        await stillRight(llm);
        await llm.stream(many, options).next();
        await stillRight(llm);
      }));

    it("captures for who reads a stream, which loses nothing", () =>
      using(async (llm) => {
        const events: TokenEvent[] = [];
        for await (const event of llm.stream([ABC, DE], { ...LOGITS, maxTokens: generated })) {
          events.push(event);
          if (events.length < 3) await stillRight(llm);
        }
        expect(events).toHaveLength(5 + 2 * Math.max(0, generated - 1));
        const first = events.filter(({ sample }) => sample === 0).map(({ position }) => position);
        expect(first).toEqual(first.map((_, i) => i));
      }));

    it("is right after a sink that failed", () =>
      using(async (llm) => {
        const full = new Error("the disk is full");
        const into: Sink<void> = {
          open: async () => {},
          write: () => Promise.reject(full),
          close: async () => {},
        };
        await expect(llm.capture(many, { ...LOGITS, into })).rejects.toBe(full);
        await stillRight(llm);
      }));

    it.skipIf(!failing)("says that a step failed, and hangs nobody", async () => {
      const llm = await failing!();
      const waiting = llm.capture([DE], LOGITS).catch((error) => error);
      const options = { ...LOGITS, maxTokens: generated };
      await expect(llm.capture([ABC, DE], options)).rejects.toBeInstanceOf(EngineError);
      const also = llm.capture([ABC], options).catch((error) => error);
      for (const after of [await waiting, await also])
        if (after instanceof Error) expect(after).toBeInstanceOf(EngineError);
      await llm.close();
    });

    it("ends what goes on and what waits when it is closed, and stays closed", async () => {
      const llm = await loaded();
      const closed = { code: "ENGINE_CLOSED" };
      const { sink, gate, begun } = gated();
      const running = llm.capture(many, { ...LOGITS, maxTokens: generated, into: sink });
      running.catch(() => {});
      await begun;
      const waiting = llm.capture([ABC], LOGITS);
      waiting.catch(() => {});
      const closing = llm.close();
      await expect(waiting).rejects.toMatchObject(closed);
      gate();
      await expect(running).rejects.toMatchObject(closed);
      await closing;
      await llm.close();
      await expect(llm.capture([ABC], LOGITS)).rejects.toMatchObject(closed);
      await expect(llm.capture("a", LOGITS)).rejects.toMatchObject(closed);
    });
  });
}

/** Checks every label and the shape of the values. */
function labelled(capture: Capture, prompts: readonly (readonly number[])[], generated: number): void {
  const { rows, routerLogits, model } = capture;
  const more = Math.max(0, generated - 1);
  const expected = prompts.flatMap((prompt, sample) =>
    Array.from({ length: prompt.length + more }, (_, position) => ({ sample, position })),
  );
  expect([...rows.sample]).toEqual(expected.map(({ sample }) => sample));
  expect([...rows.position]).toEqual(expected.map(({ position }) => position));
  for (const [row, { sample, position }] of expected.entries()) {
    const prompt = prompts[sample]!;
    const drawn = position - prompt.length;
    if (drawn < 0) expect(rows.tokenId[row]).toBe(prompt[position]);
    else expect(rows.tokenId[row]).toBe(capture.outputs[sample]!.tokens[drawn]);
    expect(rows.phase[row]).toBe(drawn < 0 ? "prompt" : "generated");
  }
  expect([...routerLogits.keys()]).toEqual(model.moe!.layers);
  for (const { dims, data } of routerLogits.values()) {
    expect(dims).toEqual([expected.length, model.moe!.experts]);
    expect(data.every(Number.isFinite)).toBe(true);
  }
}

/** Of the rows of a tensor. */
function meanOf({ dims: [rows, width], data }: Tensor<"float32">): number[] {
  return Array.from({ length: width! }, (_, i) => {
    let sum = 0;
    for (let row = 0; row < rows!; row++) sum += data[row * width! + i]!;
    return sum / rows!;
  });
}

const distance = (a: readonly number[], b: readonly number[]) =>
  Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));

/** A sink that takes its first rows only when the gate is opened, and counts them. */
function gated() {
  let gate = () => {};
  const opened = new Promise<void>((resolve) => {
    gate = resolve;
  });
  let begin = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  let rows = 0;
  const sink: Sink<number> = {
    open: async () => {},
    write: async (batch) => {
      begin();
      await opened;
      rows += batch.rows;
    },
    close: async () => rows,
  };
  return { sink, gate, begun };
}
