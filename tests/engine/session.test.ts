import koffi from "koffi";
import { afterEach, describe, expect, it } from "vitest";
import type { Plan } from "../../src/core/plan.ts";
import { planFor } from "../../src/core/plan.ts";
import type { RowShapes } from "../../src/core/row-shapes.ts";
import { activationOf, activationStream, STREAM_NAMES, type StreamName } from "../../src/core/streams.ts";
import { needsAttentionSteps } from "../../src/engines/llama/graph/graph-taps.ts";
import { modelShape } from "../../src/engines/llama/graph/model-shape.ts";
import { CONTROL } from "../../src/engines/llama/host/protocol.ts";
import { inspectFile } from "../../src/engines/llama/model/gguf.ts";
import { makeAbort } from "../../src/engines/llama/native/abort.ts";
import { findLibrary } from "../../src/engines/llama/native/library.ts";
import { activationShapes } from "../../src/engines/llama/run/row-shapes.ts";
import { run } from "../../src/engines/llama/run/run.ts";
import { Session } from "../../src/engines/llama/run/session.ts";
import type { Strategy } from "../../src/engines/llama/tap/tap.ts";
import { families, ggufOf, plainStreamsOf, Reference } from "../fixtures/families.ts";

const BATCH = 12;
const NOTHING: Plan = { streams: [], topKeys: null, select: { phase: null, positions: null, last: null } };
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, stop: [], ignoreEos: true };

let session: Session | undefined;
afterEach(() => {
  session?.close();
  session = undefined;
});

async function open(
  family: string,
  strategy: Strategy = "redirect",
  flashAttention: boolean | "auto" = "auto",
): Promise<Session> {
  const model = await inspectFile(ggufOf(family));
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
    flashAttention,
    strategy,
    shape: modelShape(model),
    purpose: {
      task: "generate",
      pooling: null,
      normalize: null,
      filePooling: null,
      fileCausal: null,
      classifier: false,
      encoder: false,
    },
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
async function outputsOf(
  name: string,
  of: Session,
  tokens: Int32Array,
  streams: readonly StreamName[] = plainStreamsOf(name),
) {
  const model = await inspectFile(ggufOf(name));
  const context = {
    session: of,
    layers: model.layers,
    batchSize: BATCH,
    aborted: () => false,
    newTokens: () => [],
  };
  of.computeAttention(needsAttentionSteps(streams));
  const shapes = shapesOf(of, streams);
  const all = planFor(model, { streams }, { shapes, keys: tokens.length + 11 });
  return [NOTHING, all, NOTHING].map((plan) => {
    const steps = [...run(context, [{ tokens, maxTokens: 12, sampling: GREEDY }], plan)];
    return { drawn: steps.flatMap((step) => step.drawn), logits: finalLogits(of) };
  });
}

function shapesOf(of: Session, streams: readonly StreamName[]): RowShapes {
  return new Map(
    streams.map((stream) => {
      const activation = activationOf(stream);
      const shapes =
        activation === null ? of.streams().get(stream) : activationShapes(activation, of.tensors().list);
      return [stream, shapes ?? new Map()];
    }),
  );
}

/** Every stream, and every tensor of the model's computation that can be captured and is alike in all its layers. */
function everything(of: Session): StreamName[] {
  of.computeAttention(true);
  const given = STREAM_NAMES.filter((name) =>
    [...(of.streams().get(name)?.values() ?? [])].every((shape) => !("refused" in shape)),
  );
  // As the run computes it.
  of.computeAttention(needsAttentionSteps(given));
  const { list } = of.tensors();
  const alike = list.filter(({ name }) => list.filter((other) => other.name === name).length === 1);
  const named = given.filter((name) => name !== "attention_keys");
  const activations = alike
    .filter(({ capturable }) => capturable)
    .map(({ name }) => activationStream(name))
    .filter((stream) =>
      [...shapesOf(of, [stream]).get(stream)!.values()].every((shape) => !("refused" in shape)),
    );
  return [...named, ...activations];
}

describe.each(families)("$name", ({ name }) => {
  it("computes the same output with and without capture, prompt and 12 generated tokens", async () => {
    const of = await open(name);
    // Two chunks of one shape: only the second has an output to compute, and llama.cpp reuses the graph.
    const tokens = new Reference(name).tokens.subarray(0, 2 * BATCH);
    const outputs = await outputsOf(name, of, tokens);
    expect(outputs[0]!.drawn).toHaveLength(12);
    expect(outputs[1]!.drawn).toEqual(outputs[0]!.drawn);
    expect(outputs[1]!.logits).toEqual(outputs[0]!.logits);
    expect(outputs[2]!.logits).toEqual(outputs[0]!.logits);
  });

  it("computes the same output as without flash attention while attention and all tensors are captured", async () => {
    const tokens = new Reference(name).tokens.subarray(0, 2 * BATCH);
    for (const strategy of ["redirect", "copy"] as const) {
      const of = await open(name, strategy, "auto");
      const streams = everything(of);
      const [before, captured, after] = await outputsOf(name, of, tokens, streams);
      of.close();
      // Where attention is refused, nothing keeps it from being computed as it was loaded.
      const flashAttention = needsAttentionSteps(streams) ? false : "auto";
      const [stepwise] = await outputsOf(name, await open(name, strategy, flashAttention), tokens, []);
      session!.close();
      session = undefined;
      expect(captured).toEqual(stepwise);
      // Afterwards it computes as it was loaded.
      expect(after).toEqual(before);
    }
  });
});

it("puts the output back in a graph that was used without it twice, also where the callback stays on", async () => {
  const of = await open("qwen3_moe", "copy");
  // Chunks of one shape, of which only the last has an output to compute.
  const { tokens: reference } = new Reference("qwen3_moe");
  const tokens = Int32Array.from({ length: 6 * BATCH }, (_, i) => reference[i % reference.length]!);
  const [plain, captured] = await outputsOf("qwen3_moe", of, tokens);
  expect(captured).toEqual(plain);
});
