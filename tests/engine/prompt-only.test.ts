import { describe, expect, it, vi } from "vitest";
import { planFor } from "../../src/core/plan.ts";
import { modelShape } from "../../src/engines/llama/graph/model-shape.ts";
import { CONTROL } from "../../src/engines/llama/host/protocol.ts";
import { inspectFile } from "../../src/engines/llama/model/gguf.ts";
import { makeAbort } from "../../src/engines/llama/native/abort.ts";
import { findLibrary } from "../../src/engines/llama/native/library.ts";
import { TensorReader } from "../../src/engines/llama/native/tensor-reader.ts";
import { run } from "../../src/engines/llama/run/run.ts";
import { Session } from "../../src/engines/llama/run/session.ts";
import { load } from "../../src/run/load.ts";
import { families, ggufOf, Reference } from "../fixtures/families.ts";

const streams = ["router_logits", "expert_ids", "expert_weights"] as const;
const greedy = { maxTokens: 6, ignoreEos: true, temperature: 0 } as const;

/** Where no token is drawn, the graph ends at the last tensor that is captured. */
describe.each(families.filter(({ moeLayers }) => moeLayers.length > 0))("$name", ({ name, moeLayers }) => {
  it.each(["redirect", "copy"] as const)(
    "%s: a prompt's rows are those of a run that goes on, and a run after it too",
    async (strategy) => {
      // One after the other: what shares a batch changes the last bits.
      const options = { threads: 1, contextSize: 256, batchSize: 16, parallel: 1, strategy } as const;
      const prompts = [0, 4].map((from) => new Reference(name).tokens.subarray(from));
      const layers = [moeLayers[0]!];
      const llm = await load(ggufOf(name), options);
      try {
        const whole = await llm.capture(prompts, { ...greedy, streams, select: { phase: "prompt" } });
        for (const capture of [
          await llm.capture(prompts, { streams, layers }),
          await llm.capture(prompts, { streams }),
        ])
          for (const stream of streams)
            for (const [layer, { data }] of capture.stream(stream))
              expect(data, `${stream} ${layer}`).toEqual(whole.stream(stream).get(layer)!.data);
        const after = await llm.capture(prompts, { ...greedy, streams });
        expect(after.outputs).toEqual(whole.outputs);
      } finally {
        await llm.close();
      }
    },
  );
});

it("leaves out what comes after the last captured tensor, and nothing where a token is drawn", async () => {
  const model = await inspectFile(ggufOf("qwen3_moe"));
  const session = Session.open({
    ...{ files: findLibrary(), gpu: false, gpuLibraries: [], placement: { gpuLayers: null, overrides: [] } },
    ...{
      path: ggufOf("qwen3_moe"),
      contextSize: 256,
      parallel: 1,
      batchSize: 16,
      threads: 1,
      shape: modelShape(model),
    },
    ...{ kvType: "f32", flashAttention: false, strategy: "redirect", abort: makeAbort() },
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
  });
  const setOp = vi.spyOn(TensorReader.prototype, "setOp");
  try {
    const context = {
      session,
      layers: model.layers,
      batchSize: 16,
      aborted: () => false,
      newTokens: () => [],
    };
    const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, stop: [], ignoreEos: true };
    const leftOut = (layer: number, maxTokens: number): number => {
      setOp.mockClear();
      const plan = planFor(model, { streams: ["router_logits"], layers: [layer] });
      for (const _ of run(context, [{ tokens: Int32Array.of(5, 6, 7), maxTokens, sampling }], plan));
      return new Set(setOp.mock.calls.map(([tensor]) => tensor)).size;
    };
    // The output's product is put back in, which is a change too.
    expect(leftOut(0, 1)).toBeLessThanOrEqual(1);
    const [first, last] = [leftOut(0, 0), leftOut(model.layers - 1, 0)];
    // A layer is some 40 nodes; after the last router there are its experts and the output.
    expect(first - last).toBeGreaterThan(20 * (model.layers - 1));
    expect(last).toBeGreaterThan(10);
  } finally {
    setOp.mockRestore();
    session.close();
  }
});
