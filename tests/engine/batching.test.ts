import { describe, expect, it } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import type { CaptureOptions } from "../../src/run/language-model.ts";
import { type LoadOptions, load } from "../../src/run/load.ts";
import {
  families,
  ggufOf,
  maxDifference,
  PLAIN_STREAMS,
  plainStreamsOf,
  Reference,
} from "../fixtures/families.ts";

/** Prompts of unequal length, from tokens every fixture has. */
const prompts = [61, 7, 33, 90, 1].map((length, i) =>
  Array.from({ length }, (_, j) => 3 + ((i * 97 + j * 31 + ((j * j) % 17)) % 250)),
);

async function capture(family: string, load_: LoadOptions, options: CaptureOptions = {}, which = prompts) {
  const llm = await load(ggufOf(family), {
    kvType: "f32",
    flashAttention: false,
    threads: 1,
    contextSize: 512,
    ...load_,
  });
  try {
    return await llm.capture(which, { streams: plainStreamsOf(family), ...options });
  } finally {
    await llm.close();
  }
}

/** Other batch shapes take other kernels: sums differ in their last bits, and layers amplify that. */
const TOLERANCE = 2e-4;

function expectSameRows(a: Capture, b: Capture): void {
  for (const column of ["sample", "position", "tokenId"] as const)
    expect([...a.rows[column]]).toEqual([...b.rows[column]]);
  expect(a.rows.phase).toEqual(b.rows.phase);
  for (const name of ["router_logits", "hidden_states"] as const) {
    if (!a.streams.includes(name)) continue;
    for (const [layer, { data }] of a.stream(name))
      expect(maxDifference(data, b.stream(name).get(layer)!.data), `${name} ${layer}`).toBeLessThan(
        TOLERANCE,
      );
  }
}

/**
 * Sparse attention keeps so many keys of a row. Scores of exactly 0 are common, and among equal ones llama.cpp keeps
 * others when several samples share a step.
 */
const SPARSE_KEYS: Readonly<Record<string, number>> = { deepseek_v32: 12, glm_moe_dsa: 12 };

describe.each(families)("$name", ({ name }) => {
  it("several prompts in one batch and prompts in chunks give the rows of one by one", async () => {
    const which = prompts.map((tokens) => tokens.slice(0, SPARSE_KEYS[name]));
    const single = await capture(name, { parallel: 1 }, {}, which);
    expect(single.rows.length).toBe(which.flat().length);
    expectSameRows(await capture(name, { parallel: 4 }, {}, which), single);
    // Several chunks of equal size for one prompt: llama.cpp reuses its graph between them.
    expectSameRows(await capture(name, { parallel: 1, batchSize: 15 }), await capture(name, { parallel: 1 }));
    expectSameRows(await capture(name, { parallel: 3, batchSize: 32 }, {}, which), single);
  });

  it("redirect and copy give the same bits while several samples generate", async () => {
    const generate = { maxTokens: 20, ignoreEos: true };
    const [redirected, copied] = [
      await capture(name, { parallel: 3, strategy: "redirect" }, generate),
      await capture(name, { parallel: 3, strategy: "copy" }, generate),
    ];
    expect(redirected.rows.length).toBe(192 + 5 * 19);
    expect(redirected.outputs.map(({ tokens }) => [...tokens])).toEqual(
      copied.outputs.map(({ tokens }) => [...tokens]),
    );
    for (const stream of plainStreamsOf(name))
      for (const [layer, { data }] of redirected.stream(stream))
        expect(maxDifference(data, copied.stream(stream).get(layer)!.data), `${stream} ${layer}`).toBe(0);
  });
});

// llama.cpp ends the process when a step has less room than samples that run together.
describe("more samples than a step has room for", () => {
  it.each([1, 3])("batchSize %i and parallel 4 give the rows of one by one", async (batchSize) => {
    const single = await capture("qwen3_moe", { parallel: 1 });
    expectSameRows(await capture("qwen3_moe", { parallel: 4, batchSize }), single);
  });
});

describe("labels", () => {
  it("each row carries its sample, position, token and phase", async () => {
    const result = await capture(
      "qwen3_moe",
      { parallel: 3, batchSize: 16 },
      { maxTokens: 5, ignoreEos: true },
    );
    let row = 0;
    for (const [sample, prompt] of prompts.entries()) {
      const tokens = [...prompt, ...result.outputs[sample]!.tokens];
      expect(result.outputs[sample]!.tokens).toHaveLength(5);
      // The last token was drawn but never fed.
      for (let position = 0; position < tokens.length - 1; position++, row++) {
        expect(result.rows.sample[row]).toBe(sample);
        expect(result.rows.position[row]).toBe(position);
        expect(result.rows.tokenId[row]).toBe(tokens[position]);
      }
    }
    expect(result.rows.length).toBe(row);
    const generated = result.rows.phase.filter((phase) => phase === "generated");
    expect(generated).toHaveLength(prompts.length * 4);
  });

  it("generated rows equal the rows of the same text as a prompt", async () => {
    const generated = await capture("qwen3_moe", {}, { maxTokens: 30, ignoreEos: true }, [prompts[2]!]);
    const replay = await capture("qwen3_moe", {}, {}, [
      [...prompts[2]!, ...generated.outputs[0]!.tokens.slice(0, 29)],
    ]);
    for (const [layer, { data }] of generated.routerLogits)
      expect(maxDifference(data, replay.routerLogits.get(layer)!.data)).toBeLessThan(TOLERANCE);
  });

  it("stays right over runs with other plans on one model", async () => {
    const llm = await load(ggufOf("qwen3_moe"), {
      kvType: "f32",
      flashAttention: false,
      threads: 1,
      contextSize: 512,
    });
    const all = await llm.capture(prompts, { streams: PLAIN_STREAMS });
    const one = await llm.capture(prompts, { streams: ["router_logits"], layers: [1] });
    const none = await llm.capture(prompts, { streams: ["hidden_states"], layers: [-1] });
    const again = await llm.capture(prompts, { streams: PLAIN_STREAMS });
    await llm.close();
    expect([...one.routerLogits.keys()]).toEqual([1]);
    expect(maxDifference(one.routerLogits.get(1)!.data, all.routerLogits.get(1)!.data)).toBeLessThan(
      TOLERANCE,
    );
    expect(maxDifference(none.hiddenStates.get(2)!.data, all.hiddenStates.get(2)!.data)).toBeLessThan(
      TOLERANCE,
    );
    expect(maxDifference(again.hiddenStates.get(2)!.data, all.hiddenStates.get(2)!.data)).toBe(0);
  });

  it("the reference prompt tokenises to the reference's tokens", async () => {
    const llm = await load(ggufOf("qwen3_moe"), { contextSize: 128 });
    expect(await llm.tokenize("The router sent “café” to the experts.")).toEqual(
      new Reference("qwen3_moe").tokens,
    );
    await llm.close();
  });
});
