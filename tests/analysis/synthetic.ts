import type { Capture } from "../../src/capture/capture.ts";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import type { Gating } from "../../src/core/gating.ts";
import type { ModelInfo } from "../../src/core/model-info.ts";
import type { RowBatch } from "../../src/core/rows.ts";
import type { RunHeader } from "../../src/core/sink.ts";
import type { StreamName } from "../../src/core/streams.ts";

export const SOFTMAX: Gating = {
  score: "softmax",
  chosenBy: "scores",
  normalize: true,
  scale: 1,
  selectionBias: false,
  groups: null,
  weighted: "outputs",
};

export function modelInfo(
  experts: number,
  topK: number,
  layers: readonly number[],
  gating: Gating | null = SOFTMAX,
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

/** Values by stream: layer after layer, and in each row after row in the order of the samples. */
interface SyntheticCapture {
  readonly experts: number;
  readonly topK: number;
  readonly labels: readonly (string | null)[];
  /** Rows of each sample. */
  readonly lengths: readonly number[];
  /** Tokens of each sample's prompt; default: all its rows. */
  readonly promptTokens?: readonly number[];
  /** Per row; default: 0, 1, ... in each sample. */
  readonly positions?: readonly number[];
  /** Per row, index into `PHASES`; default: the prompt. */
  readonly phases?: readonly number[];
  /** Per row; default: the position. */
  readonly tokenIds?: readonly number[];
  readonly tokenText?: (tokenId: number) => string;
  /** Default: layer 0. */
  readonly layers?: readonly number[];
  readonly gating?: Gating | null;
  readonly streams: Partial<Record<StreamName, Float32Array | Uint16Array>>;
}

/** A real capture made of given numbers; its rows arrive in two batches, the later half first. */
export function captureOf(given: SyntheticCapture): Capture {
  const { header, batches } = runOf(given);
  const sink = new MemorySink();
  sink.open(header);
  for (const batch of batches) sink.write(batch);
  return sink.close({ finished: [] });
}

/** The same as a folder, in shards of a few rows. */
export async function folderOf(given: SyntheticCapture, folder: string): Promise<Capture> {
  const { header, batches } = runOf(given);
  const sink = new FolderSink(folder, { shardBytes: 2048 });
  await sink.open(header);
  for (const batch of batches) await sink.write(batch);
  return sink.close({ finished: [] });
}

/** A folder takes no states of another size than the model's. */
function hiddenSizeOf({ lengths, streams }: SyntheticCapture, layers: readonly number[]) {
  const rows = lengths.reduce((sum, n) => sum + n, 0);
  return streams.hidden_states && rows > 0
    ? { hiddenSize: streams.hidden_states.length / rows / layers.length }
    : {};
}

export function runOf(given: SyntheticCapture): { header: RunHeader; batches: RowBatch[] } {
  const layers = given.layers ?? [0];
  const names = Object.keys(given.streams) as StreamName[];
  const header: RunHeader = {
    engine: { kind: "llama.cpp", version: "0" },
    model: { ...modelInfo(given.experts, given.topK, layers, given.gating), ...hiddenSizeOf(given, layers) },
    streams: names.map((name) => ({ name, layers })),
    samples: given.labels.map((label, i) => ({
      label,
      promptTokens: (given.promptTokens ?? given.lengths)[i]!,
    })),
    tokenText: given.tokenText ?? String,
  };
  const sample = Int32Array.from(given.lengths.flatMap((n, i) => new Array<number>(n).fill(i)));
  const position = Int32Array.from(
    given.positions ?? given.lengths.flatMap((n) => Array.from({ length: n }, (_, p) => p)),
  );
  const tokenId = Int32Array.from(given.tokenIds ?? position);
  const phase = Uint8Array.from(given.phases ?? position.map(() => 0));
  const half = sample.length >> 1;
  const batches = [
    [half, sample.length],
    [0, half],
  ] as const;
  return { header, batches: batches.filter(([from, to]) => from < to).map(batchOf) };

  function batchOf([from, to]: readonly [number, number]): RowBatch {
    const rowsOf = (data: Float32Array | Uint16Array, layer: number) => {
      const width = data.length / layers.length / sample.length;
      const first = layer * sample.length;
      return data.slice((first + from) * width, (first + to) * width);
    };
    return {
      rows: to - from,
      sample: sample.slice(from, to),
      position: position.slice(from, to),
      tokenId: tokenId.slice(from, to),
      phase: phase.slice(from, to),
      streams: new Map(
        names.map((name) => [
          name,
          new Map(layers.map((layer, i) => [layer, rowsOf(given.streams[name]!, i)])),
        ]),
      ),
    };
  }
}
