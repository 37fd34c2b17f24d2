import type { ModelInfo } from "../../src/core/model-info.ts";
import type { Finished } from "../../src/core/request.ts";
import type { RowBatch } from "../../src/core/rows.ts";
import type { RunHeader, SampleInfo, Sink } from "../../src/core/sink.ts";
import { axesOf, type StreamName, streamSpec } from "../../src/core/streams.ts";
import type { TensorDataTypes, TensorType } from "../../src/core/tensor.ts";
import { SOFTMAX } from "../analysis/synthetic.ts";

/** A run that no model computed: every value is random, so that no two places can be mixed up. */
export interface SyntheticRun {
  readonly header: RunHeader;
  readonly batches: readonly RowBatch[];
  readonly finished: readonly Finished[];
}

export interface SyntheticOptions {
  readonly experts?: number;
  readonly streams?: readonly StreamName[];
  readonly moeLayers?: readonly number[];
  /** Rows of each sample; 0: the sample has none. */
  readonly lengths?: readonly number[];
  /** Rows a step takes of each sample that is running; samples then interleave. `null`: one after the other. */
  readonly interleaved?: number | null;
  readonly seed?: number;
}

const TOP_K = 2;
const HIDDEN = 6;
const LAYERS = 4;
const TEXTS = [" the", "né", "<0xE2>", "", "日本", "\n", '"quoted"', "👩‍🔬"];

export const tokenText = (id: number) => `${TEXTS[id % TEXTS.length]}${id}`;

export function syntheticRun(options: SyntheticOptions = {}): SyntheticRun {
  const { experts = 8, moeLayers = [1, 3], lengths = [5, 3], interleaved = null, seed = 1 } = options;
  const { streams = ["router_logits", "expert_ids", "expert_weights", "hidden_states"] } = options;
  const random = randomNumbers(seed);
  const samples: SampleInfo[] = lengths.map((length, i) => ({
    label: i % 3 === 2 ? null : `label ${i % 3}`,
    promptTokens: Math.ceil(length / 2),
  }));
  const layersOf = (name: StreamName) =>
    streamSpec(name).routed ? moeLayers : Array.from({ length: LAYERS }, (_, i) => i);
  const header: RunHeader = {
    engine: { kind: "llama.cpp", version: "b1" },
    model: modelWith(experts, moeLayers),
    streams: streams.map((name) => {
      const [layers, sizes] = [layersOf(name), dimsOf(name, experts)];
      return { name, layers, ...(sizes.length > 1 && { dims: layers.map(() => sizes) }) };
    }),
    samples,
    tokenText,
  };
  const values = (name: StreamName, rows: number): TensorDataTypes[TensorType] => {
    if (name === "expert_ids") return Uint16Array.from({ length: rows * TOP_K }, () => random(experts));
    const width = dimsOf(name, experts).reduce((product, size) => product * size, 1);
    if (name === "attention_keys") return Int32Array.from({ length: rows * width }, () => random(99) - 1);
    return Float32Array.from({ length: rows * width }, () => random(2 ** 32) / 2 ** 30 - 2);
  };
  const batches = steps(lengths, interleaved).map(
    (places): RowBatch => ({
      rows: places.length,
      sample: Int32Array.from(places, ([sample]) => sample),
      position: Int32Array.from(places, ([, position]) => position),
      tokenId: Int32Array.from(places, () => random(40)),
      phase: Uint8Array.from(places, ([s, position]) => (position < samples[s]!.promptTokens ? 0 : 1)),
      streams: new Map(
        streams.map((name) => [
          name,
          new Map(layersOf(name).map((layer) => [layer, values(name, places.length)])),
        ]),
      ),
    }),
  );
  const finished = lengths.map(
    (length, sample): Finished => ({
      sample,
      tokens: Int32Array.from({ length: length + 1 - samples[sample]!.promptTokens }, () => random(40)),
      text: `out ${sample} \ud800 €`,
      reason: "length",
    }),
  );
  return { header, batches, finished };
}

/** Sizes behind `rows`; an activation is a square. */
function dimsOf(name: StreamName, experts: number): number[] {
  const sizes: Record<string, number> = { experts, top_k: TOP_K, hidden: HIDDEN, heads: 3, keys: 5 };
  return axesOf(name, 2).map((axis) => sizes[axis] ?? 4);
}

/** Feed a whole run to a sink. */
export async function drive<R>({ header, batches, finished }: SyntheticRun, sink: Sink<R>): Promise<R> {
  await sink.open(header);
  for (const batch of batches) await sink.write(batch);
  return sink.close({ finished });
}

/** The (sample, position) of the rows of every step. */
function steps(lengths: readonly number[], interleaved: number | null): [number, number][][] {
  if (interleaved === null)
    return lengths.flatMap((n, sample) =>
      n ? [Array.from({ length: n }, (_, i): [number, number] => [sample, i])] : [],
    );
  const longest = Math.max(...lengths);
  return Array.from(
    { length: Math.ceil(longest / interleaved) },
    (_, step) =>
      lengths.flatMap((length, sample) =>
        Array.from({ length: interleaved }, (_, i): [number, number] => [
          sample,
          step * interleaved + i,
        ]).filter(([, position]) => position < length),
      ),
    // Last sample first, as no capture is sorted.
  ).map((step) => step.sort((a, b) => b[0] - a[0] || a[1] - b[1]));
}

function modelWith(experts: number, layers: readonly number[]): ModelInfo {
  return {
    name: "synthetic",
    source: "synthetic.gguf",
    architecture: "qwen3moe",
    layers: LAYERS,
    hiddenSize: HIDDEN,
    vocabSize: 40,
    contextLength: 128,
    parameters: 1000,
    bytes: 4000,
    quantization: "F32",
    moe:
      layers.length === 0
        ? null
        : {
            layers,
            experts,
            topK: TOP_K,
            sharedExperts: 0,
            gating: SOFTMAX,
          },
  };
}

/** Whole numbers below `limit`, the same for the same seed (mulberry32). */
function randomNumbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}
