import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import { MoescopeError } from "../../src/core/errors.ts";
import type { StreamName } from "../../src/core/streams.ts";
import type { LanguageModel } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import {
  COMPARED_STREAMS,
  type ComparedStream,
  type Family,
  families,
  ggufOf,
  largestDifference,
  Reference,
} from "../fixtures/families.ts";
import { type Result, recordedResult, writeResults } from "../fixtures/results.ts";

/** As the reference computes: no rounding of the key-value cache, no reordered softmax. */
const EXACT = { kvType: "f32", flashAttention: false, threads: 1, contextSize: 512 } as const;

/** `MOESCOPE_RESULTS=fixtures/results` records what is found; without it the findings must be the recorded ones. */
const { MOESCOPE_RESULTS: recordInto } = process.env;
const found: Result[] = [];

afterAll(() => {
  if (recordInto) writeResults("llama.cpp", recordInto, found);
});

/** Tensors by llama.cpp's names: all that are the same kind of thing in all of their layers. */
async function activations(llm: LanguageModel): Promise<string[]> {
  const tensors = await llm.tensors();
  const alike = tensors.filter(({ name }) => tensors.filter((other) => other.name === name).length === 1);
  return alike.filter(({ capturable }) => capturable).map(({ name }) => `activation:${name}`);
}

/** Every stream that moescope gives of a model, and the words with which it refuses the others. */
async function captureAll(llm: LanguageModel, tokens: Int32Array) {
  const refused = new Map<string, string>();
  let asked: string[] = [...COMPARED_STREAMS, ...(await activations(llm))];
  for (;;) {
    try {
      return { capture: await llm.capture(tokens, { streams: asked as StreamName[] }), refused };
    } catch (error) {
      const named = asked.filter(
        (stream) => error instanceof MoescopeError && error.message.includes(stream),
      );
      if (named.length === 0) throw error;
      // A name may be part of another one.
      const one = named.reduce((longest, stream) => (stream.length > longest.length ? stream : longest));
      refused.set(one, (error as MoescopeError).message);
      asked = asked.filter((stream) => stream !== one);
    }
  }
}

/** What was seen of one stream; `undefined` where the family has no such stream. */
function judge(
  family: Family,
  stream: ComparedStream,
  difference: number | undefined,
  refused?: string,
): Result | undefined {
  const of = { engine: "llama.cpp", architecture: family.architecture, family: family.name, stream } as const;
  if (refused !== undefined) return { ...of, status: "refused", reason: refused };
  if (difference === undefined) return undefined;
  const differs = family.notComparable[stream];
  if (differs !== undefined) return { ...of, status: "differs", reason: differs };
  const rounded = Number(difference.toPrecision(2));
  return { ...of, status: "proven", difference: rounded, reference: family.reference };
}

describe.each(families)("$name equals its reference", (family) => {
  const reference = new Reference(family.name);
  const rows = reference.tokens.length;
  let redirected: Capture;
  let copied: Capture;
  let refused: ReadonlyMap<string, string>;

  beforeAll(async () => {
    const captureWith = async (strategy: "redirect" | "copy") => {
      const llm = await load(ggufOf(family.name), { ...EXACT, strategy });
      try {
        return await captureAll(llm, reference.tokens);
      } finally {
        await llm.close();
      }
    };
    ({ capture: redirected, refused } = await captureWith("redirect"));
    ({ capture: copied } = await captureWith("copy"));
  });

  it("is described as it is", () => {
    const { architecture, layers, moe } = redirected.model;
    expect({ architecture, layers }).toEqual({ architecture: family.architecture, layers: family.layers });
    expect(moe?.layers ?? []).toEqual(family.moeLayers);
    if (moe)
      expect({ experts: moe.experts, topK: moe.topK, shared: moe.sharedExperts }).toEqual({
        experts: family.experts,
        topK: family.topK,
        shared: family.sharedExperts,
      });
  });

  it.each(COMPARED_STREAMS)("%s", (stream) => {
    const layers = reference.layersOf(stream);
    const given = !refused.has(stream);
    if (given) expect([...redirected.stream(stream).keys()]).toEqual(layers);
    let difference: number | undefined;
    if (given && layers.length > 0) {
      difference = largestDifference(redirected, reference, stream);
      if (!(stream in family.notComparable))
        expect(difference).toBeLessThanOrEqual(family.tolerances[stream]);
    }
    const result = judge(family, stream, difference, refused.get(stream));
    if (result) found.push(result);
    // The difference itself depends on the processor.
    const { difference: _, ...verdict } = result ?? {};
    const { difference: __, ...recorded } = recordedResult("llama.cpp", family.name, stream) ?? {};
    if (!recordInto) expect(verdict).toEqual(recorded);
  });

  it("has the sizes that the model has", () => {
    const { hiddenSize } = redirected.model;
    const sizes = {
      router_logits: [family.experts],
      expert_ids: [family.topK],
      expert_weights: [family.topK],
      expert_outputs: [family.topK, hiddenSize],
      shared_expert_output: [hiddenSize],
      hidden_states: [hiddenSize],
    };
    for (const [stream, size] of Object.entries(sizes) as [ComparedStream, number[]][])
      if (!refused.has(stream))
        for (const { dims } of redirected.stream(stream).values()) expect(dims).toEqual([rows, ...size]);
  });

  it("activations by llama.cpp's names", () => {
    // Nemotron-H calls a part of its layers so as well.
    const named = family.name !== "nemotron_h" && redirected.streams.includes("activation:l_out");
    if (redirected.streams.includes("hidden_states") && named)
      for (const [layer, { data }] of redirected.activation("l_out"))
        expect(data).toEqual(redirected.hiddenStates.get(layer)!.data);
    if (!family.gating || refused.has("expert_outputs")) return;
    // What comes later: a factor (Gemma 4), a bias (gpt-oss) of the experts.
    const names = ["ffn_moe_down_biased", "ffn_moe_down_scaled", "ffn_moe_down"] as const;
    const last = names.find((name) => redirected.streams.includes(`activation:${name}`));
    // With two passes of experts in a layer no name is that of one alone.
    expect(last === undefined).toBe(family.name === "grove_moe");
    if (!last) return;
    const outputs = redirected.activation(last);
    expect([...outputs.keys()]).toEqual(family.moeLayers);
    for (const [layer, output] of outputs) expect(output).toEqual(redirected.expertOutputs.get(layer));
  });

  it("redirect and copy give the same bits", () => {
    for (const name of redirected.streams) {
      expect([...copied.stream(name).keys()]).toEqual([...redirected.stream(name).keys()]);
      for (const [layer, { data }] of redirected.stream(name))
        expect(Buffer.compare(bytes(data), bytes(copied.stream(name).get(layer)!.data))).toBe(0);
    }
  });
});

describe("the list of families", () => {
  it("leaves out only what llama.cpp computes otherwise", () => {
    const left = families.filter(({ notComparable }) => Object.keys(notComparable).length > 0);
    expect(left.map(({ name }) => name)).toEqual(["deepseek_v2_group"]);
  });
});

const bytes = (data: ArrayBufferView) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
