import koffi from "koffi";
import { afterEach, describe, expect, it } from "vitest";
import type { Plan } from "../../src/capture/plan.ts";
import { planFor } from "../../src/capture/plan.ts";
import { STREAM_NAMES } from "../../src/capture/streams.ts";
import { makeAbort } from "../../src/engines/llama/abort.ts";
import { inspectFile } from "../../src/engines/llama/gguf.ts";
import { findLibrary } from "../../src/engines/llama/library.ts";
import { CONTROL } from "../../src/engines/llama/protocol.ts";
import { run } from "../../src/engines/llama/run.ts";
import { Session } from "../../src/engines/llama/session.ts";
import type { Strategy } from "../../src/engines/llama/tap.ts";
import { families, ggufOf, Reference } from "../fixtures/families.ts";

const BATCH = 12;
const NOTHING: Plan = { streams: [], select: { phase: null, positions: null, last: null } };
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, stop: [], ignoreEos: true };

let session: Session | undefined;
afterEach(() => {
  session?.close();
  session = undefined;
});

function open(family: string, strategy: Strategy = "redirect"): Session {
  session = Session.open({
    files: findLibrary(),
    gpu: false,
    gpuLibraries: [],
    placement: { gpuLayers: null, overrides: [] },
    path: ggufOf(family),
    contextSize: 512,
    parallel: 2,
    batchSize: BATCH,
    threads: 1,
    kvType: "f16",
    flashAttention: "auto",
    strategy,
    layers: 3,
    control: new SharedArrayBuffer(CONTROL.bytes),
    abort: makeAbort(),
  });
  return session;
}

/** The model's output for the last token of the last step, as llama.cpp left it. */
function finalLogits(of: Session): Float32Array {
  const address = of.llama.logitsOf(of.context, -1);
  return new Float32Array(koffi.view(address, 4 * of.vocabulary.size)).slice();
}

/** What is drawn and computed last without capture, with all of it, and without again. */
async function outputsOf(name: string, of: Session, tokens: Int32Array) {
  const model = await inspectFile(ggufOf(name));
  const context = {
    session: of,
    layers: model.layers,
    batchSize: BATCH,
    aborted: () => false,
    newTokens: () => [],
  };
  return [NOTHING, planFor(model, { streams: STREAM_NAMES }), NOTHING].map((plan) => {
    const steps = [...run(context, [{ tokens, maxTokens: 12, sampling: GREEDY }], plan)];
    return { drawn: steps.flatMap((step) => step.drawn), logits: finalLogits(of) };
  });
}

describe.each(families)("$name", ({ name }) => {
  it("computes the same output with and without capture, prompt and 12 generated tokens", async () => {
    const of = open(name);
    // Two chunks of one shape: only the second has an output to compute, and llama.cpp reuses the graph.
    const tokens = new Reference(name).tokens.subarray(0, 2 * BATCH);
    const outputs = await outputsOf(name, of, tokens);
    expect(outputs[0]!.drawn).toHaveLength(12);
    expect(outputs[1]!.drawn).toEqual(outputs[0]!.drawn);
    expect(outputs[1]!.logits).toEqual(outputs[0]!.logits);
    expect(outputs[2]!.logits).toEqual(outputs[0]!.logits);
  });
});

it("puts the output back in a graph that was used without it twice, also where the callback stays on", async () => {
  const of = open("qwen3_moe", "copy");
  // Chunks of one shape, of which only the last has an output to compute.
  const { tokens: reference } = new Reference("qwen3_moe");
  const tokens = Int32Array.from({ length: 6 * BATCH }, (_, i) => reference[i % reference.length]!);
  const [plain, captured] = await outputsOf("qwen3_moe", of, tokens);
  expect(captured).toEqual(plain);
});
