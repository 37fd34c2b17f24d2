import type { Capture } from "../../src/capture/capture.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import type { StreamName } from "../../src/capture/streams.ts";
import type { ModelInfo } from "../../src/engines/engine.ts";
import type { Gating } from "../../src/routing/gating.ts";

export const SOFTMAX: Gating = {
  score: "softmax",
  normalize: true,
  scale: 1,
  selectionBias: false,
  groups: null,
};

export function modelInfo(
  experts: number,
  topK: number,
  layers: readonly number[],
  gating = SOFTMAX,
): ModelInfo {
  return {
    name: "synthetic",
    source: "synthetic",
    architecture: "qwen3moe",
    layers: Math.max(-1, ...layers) + 1,
    hiddenSize: 4,
    vocabSize: 256,
    contextLength: 1024,
    parameters: 0,
    bytes: 0,
    quantization: "F32",
    moe: { layers, experts, topK, sharedExperts: 0, gating },
  };
}

/** One layer's values by stream, row after row in the order of the samples. */
interface SyntheticCapture {
  readonly experts: number;
  readonly topK: number;
  readonly labels: readonly (string | null)[];
  /** Rows of each sample. */
  readonly lengths: readonly number[];
  readonly layer?: number;
  readonly gating?: Gating;
  readonly streams: Partial<Record<StreamName, Float32Array | Uint16Array>>;
}

/** A real capture made of given numbers; its rows arrive in two batches, the later half first. */
export function captureOf(given: SyntheticCapture): Capture {
  const layer = given.layer ?? 0;
  const names = Object.keys(given.streams) as StreamName[];
  const sink = new MemorySink();
  sink.open({
    engine: { kind: "llama.cpp", version: "0" },
    model: modelInfo(given.experts, given.topK, [layer], given.gating),
    streams: names.map((name) => ({ name, layers: [layer] })),
    samples: given.labels.map((label, i) => ({ label, promptTokens: given.lengths[i]! })),
    tokenText: String,
  });
  const sample = Int32Array.from(given.lengths.flatMap((n, i) => new Array<number>(n).fill(i)));
  const position = Int32Array.from(given.lengths.flatMap((n) => Array.from({ length: n }, (_, p) => p)));
  const half = sample.length >> 1;
  for (const [from, to] of [
    [half, sample.length],
    [0, half],
  ] as const) {
    if (from === to) continue;
    sink.write({
      rows: to - from,
      sample: sample.slice(from, to),
      position: position.slice(from, to),
      tokenId: position.slice(from, to),
      phase: new Uint8Array(to - from),
      streams: new Map(
        names.map((name) => {
          const data = given.streams[name]!;
          const width = data.length / sample.length;
          return [name, new Map([[layer, data.slice(from * width, to * width)]])];
        }),
      ),
    });
  }
  return sink.close({ finished: [] });
}
