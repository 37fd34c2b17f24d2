import type { GraphTensor } from "../../../core/engine.ts";
import type { Plan } from "../../../core/plan.ts";
import type { EditSupport } from "../../../core/planned-edit.ts";
import type { EngineRequest, Finished } from "../../../core/request.ts";
import type { RowShapes } from "../../../core/row-shapes.ts";
import type { RowBatch } from "../../../core/rows.ts";
import type { WireError } from "../../../core/wire-error.ts";
import type { ModelShape } from "../graph/model-shape.ts";
import type { Device } from "../native/devices.ts";
import type { GpuChoice, GpuLibrary } from "../native/gpu.ts";
import type { LibraryFiles } from "../native/library.ts";
import type { PlacementOptions } from "../run/device-placement.ts";
import type { Purpose, PurposeRequest } from "../run/purpose.ts";
import type { LayerRoutes } from "../tap/layer-routes.ts";
import type { Strategy } from "../tap/tap.ts";

/** What a host is started with. */
export interface HostOptions {
  readonly files: LibraryFiles;
  readonly gpu: GpuChoice;
  /** Where to find the GPUs that may be used. */
  readonly gpuLibraries: readonly GpuLibrary[];
  readonly placement: PlacementOptions;
  /** First file of the model. */
  readonly path: string;
  readonly contextSize: number;
  readonly parallel: number;
  readonly batchSize: number;
  readonly threads: number;
  readonly kvType: "f32" | "f16" | "q8_0";
  readonly flashAttention: boolean | "auto";
  readonly strategy: Strategy;
  readonly shape: ModelShape;
  readonly purpose: PurposeRequest;
}

/** What a model is opened with in a thread: memory that it shares with another comes along. */
export interface WorkerOptions extends HostOptions, SharedSignals {}

/** Memory of two threads; see `signals.ts`. */
export interface SharedSignals {
  /** See {@link CONTROL}. */
  readonly control: SharedArrayBuffer;
  /** The native side of an abort; see `abort.ts`. */
  readonly abort: SharedArrayBuffer;
}

/** Int32 cells shared by both threads. */
export const CONTROL = {
  /** Main: 1 while the present run is to stop. */
  aborted: 0,
  /** Main: `steps` messages taken so far, modulo 2^32. */
  taken: 1,
  /** Size of the buffer in bytes. */
  bytes: 8,
} as const;

export type ToHost =
  | {
      readonly type: "tokenize";
      readonly id: number;
      readonly texts: readonly string[];
      /** For each text 1 or 0. */
      readonly addSpecial: Uint8Array;
      readonly parseSpecial: Uint8Array;
    }
  | { readonly type: "detokenize"; readonly id: number; readonly tokens: Int32Array }
  /** Not during a run: graphs are built for these. */
  | { readonly type: "tensors" | "streams"; readonly id: number; readonly attentionSteps: boolean }
  | {
      readonly type: "run";
      readonly id: number;
      readonly requests: readonly EngineRequest[];
      readonly plan: Plan;
    }
  | { readonly type: "close" };

/** To a worker thread: models come and go in it. */
export type ToThread =
  | ToHost
  | { readonly type: "open"; readonly options: WorkerOptions }
  /** Not while it has a model. */
  | { readonly type: "exit" };

/** The file number of the pipe to the process that runs llama.cpp, in that process; 3 is Node's own. */
export const PIPE = 4;

/** To a process of its own; memory cannot be shared with it, so what the shared signals say becomes messages. */
export type ToProcess =
  | ToHost
  | {
      readonly type: "open";
      readonly options: HostOptions;
      /** The file through which rows come back, by its number in that process; `null`: with their messages. */
      readonly passage: number | null;
    }
  | { readonly type: "stop" | "resume" | "taken" }
  /** The oldest rows in that file were taken out. */
  | { readonly type: "rows taken" };

/** Token ids that appear for the first time, with their text. */
export type NewTokens = readonly (readonly [id: number, text: string])[];

/** Several engine steps in one message. */
export interface Steps {
  readonly batch: RowBatch | null;
  readonly drawn: readonly { readonly sample: number; readonly tokenId: number }[];
  readonly finished: readonly Finished[];
  readonly processed: number;
  readonly newTokens: NewTokens;
}

export interface Ready {
  readonly version: string;
  /** GPUs that hold part of the model. */
  readonly gpus: readonly Device[];
  readonly contextSize: number;
  readonly specialTokens: { readonly bos: string; readonly eos: string };
  readonly vocabSize: number;
  readonly purpose: Purpose;
  /** The streams of the model's graph as it was loaded; see `stream-shapes.ts`. */
  readonly streams: RowShapes;
  /** How its layers route, by the same graph. */
  readonly routes: LayerRoutes;
  /** What of it can be changed. */
  readonly edits: EditSupport;
}

/** The tokens of several texts, one behind the other, and how many each has. */
export interface TokensOfTexts {
  readonly ids: Int32Array;
  readonly lengths: Int32Array;
  /** The first text that cannot become tokens, if there is one; then there are no tokens. */
  readonly refused: { readonly at: number; readonly error: WireError } | null;
}

/** To `tokenize`, `detokenize`, `tensors` and `streams`. */
export type Reply = TokensOfTexts | string | readonly GraphTensor[] | RowShapes;

export type FromHost =
  | { readonly type: "ready"; readonly ready: Ready }
  | {
      readonly type: "reply";
      readonly id: number;
      readonly value: Reply;
      readonly newTokens: NewTokens;
    }
  | { readonly type: "steps"; readonly id: number; readonly steps: Steps }
  | { readonly type: "end"; readonly id: number }
  | { readonly type: "error"; readonly id: number | null; readonly error: WireError };

/** From a thread; `closed` is the last of a model: it is freed, or was not loaded. */
export type FromThread = FromHost | { readonly type: "closed" };
