import type { Pooling } from "./embedding.ts";
import type { Gating } from "./gating.ts";

/** What is known of a model before it runs. */
export interface ModelInfo {
  /** `general.name` of the file, else the file's name. */
  readonly name: string;
  /** Where it was loaded from, as the user gave it. */
  readonly source: string;
  /** The engine's name of the architecture, e.g. `qwen3moe`. */
  readonly architecture: string;
  /** Decoder layers, dense ones counted. */
  readonly layers: number;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  /** Context the model was trained for, in tokens. */
  readonly contextLength: number;
  readonly parameters: number;
  /** Size of the weights in bytes. */
  readonly bytes: number;
  /** Most frequent tensor type, e.g. `Q4_K`. */
  readonly quantization: string;
  /** How its description says that prompts become one vector; absent where it says nothing. */
  readonly pooling?: Pooling | undefined;
  /** `null` for a dense model. */
  readonly moe: MoeInfo | null;
}

/** The experts of a model: how many there are, in which layers, and how its routers choose. */
export interface MoeInfo {
  /** 0-based indices of the layers that have a router. */
  readonly layers: readonly number[];
  /** Routed experts of a MoE layer; where layers differ, the most that one has. */
  readonly experts: number;
  /** Experts used per token; where layers differ, the most that one uses. */
  readonly topK: number;
  /** Experts that run for every token and have no logit. */
  readonly sharedExperts: number;
  /** How many of `experts` compute nothing: the last ones (LongCat-Flash: the token itself). Absent: none. */
  readonly zeroExperts?: number | undefined;
  /** The rule of all MoE layers; `null` where it is not known, or not the same in all of them (see {@link byLayer}). */
  readonly gating: Gating | null;
  /** One entry for each of {@link layers}; absent where all are alike. `moeLayer` looks a layer up either way. */
  readonly byLayer?: readonly MoeLayer[] | undefined;
}

/** The routing of one layer. */
export interface MoeLayer {
  readonly experts: number;
  readonly topK: number;
  /** `null`: not known. */
  readonly gating: Gating | null;
}
