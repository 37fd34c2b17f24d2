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
import { families, ggufOf, Reference } from "../fixtures/families.ts";

const BATCH = 12;
const NOTHING: Plan = { streams: [], select: { phase: null, positions: null, last: null } };
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, stop: [], ignoreEos: true };

let session: Session | undefined;
afterEach(() => {
  session?.close();
  session = undefined;
});

function open(family: string): Session {
  session = Session.open({
    files: findLibrary(),
    path: ggufOf(family),
    contextSize: 512,
    parallel: 2,
    batchSize: BATCH,
    threads: 1,
    kvType: "f16",
    flashAttention: "auto",
    strategy: "redirect",
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

describe.each(families)("$name", ({ name }) => {
  it("computes the same output with and without capture, prompt and 12 generated tokens", async () => {
    const model = await inspectFile(ggufOf(name));
    const of = open(name);
    const context = {
      session: of,
      layers: model.layers,
      batchSize: BATCH,
      aborted: () => false,
      newTokens: () => [],
    };
    // Two chunks of one shape: only the second has an output to compute, and llama.cpp reuses the graph.
    const tokens = new Reference(name).tokens.subarray(0, 2 * BATCH);
    const outputs = [NOTHING, planFor(model, { streams: STREAM_NAMES }), NOTHING].map((plan) => {
      const steps = [...run(context, [{ tokens, maxTokens: 12, sampling: GREEDY }], plan)];
      return { drawn: steps.flatMap((step) => step.drawn), logits: finalLogits(of) };
    });
    expect(outputs[0]!.drawn).toHaveLength(12);
    expect(outputs[1]!.drawn).toEqual(outputs[0]!.drawn);
    expect(outputs[1]!.logits).toEqual(outputs[0]!.logits);
    expect(outputs[2]!.logits).toEqual(outputs[0]!.logits);
  });
});
