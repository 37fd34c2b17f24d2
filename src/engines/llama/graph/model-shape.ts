import type { ModelInfo } from "../../../core/model-info.ts";

/** What the model's file says that its graph is held against. */
export interface ModelShape {
  /** For messages. */
  readonly architecture: string;
  /** Layers of the model; those for multi-token prediction not counted. */
  readonly layers: number;
  /** Values of a hidden state. */
  readonly width: number;
  /** Layers that have a router. */
  readonly moeLayers: readonly number[];
}

export const modelShape = ({ architecture, layers, hiddenSize, moe }: ModelInfo): ModelShape => ({
  architecture,
  layers,
  width: hiddenSize,
  moeLayers: moe?.layers ?? [],
});
