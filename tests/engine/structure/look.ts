import { GraphTaps } from "../../../src/engines/llama/graph/graph-taps.ts";
import { type ModelShape, modelShape } from "../../../src/engines/llama/graph/model-shape.ts";
import { GraphReader } from "../../../src/engines/llama/graph/read-graph.ts";
import { CONTROL } from "../../../src/engines/llama/host/protocol.ts";
import { modelInfo, readHeader } from "../../../src/engines/llama/model/gguf.ts";
import { makeAbort } from "../../../src/engines/llama/native/abort.ts";
import type { NativeGraph } from "../../../src/engines/llama/native/device-bindings.ts";
import { hostOptions } from "../../../src/engines/llama/options.ts";
import { Session } from "../../../src/engines/llama/run/session.ts";
import { lookAtStep } from "../../../src/engines/llama/tap/look-at-step.ts";

/** A graph of a model that llama.cpp built and did not run, as it lay in memory. */
export interface LookedAt {
  readonly native: NativeGraph;
  readonly shape: ModelShape;
  /** What moescope finds in it, or in a copy of it that was changed. */
  tapsOf(native: NativeGraph): GraphTaps;
  close(): void;
}

/** Attention is computed in steps, so that its weights are in the graph. */
export async function lookAt(path: string, tokens = 5): Promise<LookedAt> {
  const header = await readHeader(path);
  const model = modelInfo(header, path);
  const options = hostOptions(header, model, {
    ...{ contextSize: 64, batchSize: 32, threads: 1, gpu: false, kvType: "f32", flashAttention: false },
  });
  const session = Session.open({
    ...options,
    control: new SharedArrayBuffer(CONTROL.bytes),
    abort: makeAbort(),
  });
  let native: NativeGraph | null = null;
  lookAtStep(session, tokens, {
    built: (known) => {
      const { nodes, nodesAt, from, memory } = known.native;
      native = { nodes: nodes.slice(), nodesAt, from, memory: memory.slice(0) };
    },
  });
  const reader = new GraphReader(session.llama);
  const shape = modelShape(model);
  return {
    native: native!,
    shape,
    tapsOf: (of) => new GraphTaps(reader.read(of), shape),
    close: () => session.close(),
  };
}
