import type { Capture } from "../capture/capture.ts";
import type { LayerTensors } from "../capture/layer-tensors.ts";
import { RequestError } from "../core/errors.ts";
import type { NamedStream } from "../core/streams.ts";
import { type Tensor, tensor } from "../core/tensor.ts";
import { type Outputs, outputsOf } from "./outputs.ts";

/** The streams that EasySteer has as well. */
export type CaptureStream = Extract<NamedStream, "hidden_states" | "router_logits">;

/** The labels of rows, as columns of equal length. */
export interface CaptureMeta {
  readonly length: number;
  /** Index of the sample as text. */
  readonly reqIds: readonly string[];
  /** 0-based positions in the sample; -1 for a mean. */
  readonly positions: Int32Array;
  /** The tokens that went in; -1 for a mean. */
  readonly tokenIds: Int32Array;
}

/**
 * What {@link capture} gives: EasySteer's `CaptureResult`. Layers are 0-based indices in the model. Rows are ordered by sample,
 * then position, and tensors are float32 on the CPU.
 *
 * @example
 * import { hs } from "moescope";
 * const result = await hs.capture(llm, ["Hello world", "How are you?"]);
 * result.sample(1).get(3); // { type: "float32", dims: [tokens of "How are you?", hiddenSize], data }
 */
export class CaptureResult {
  /** One entry a sample. */
  readonly outputs: Outputs;
  /** Rows that were selected and not kept, as they were beyond `budgetRows`. */
  readonly dropped: number;
  readonly #capture: Capture;
  readonly #stream: CaptureStream;

  /** @internal Results come from `hs.capture`. */
  constructor(capture: Capture, stream: CaptureStream) {
    this.#capture = capture;
    this.#stream = stream;
    this.outputs = outputsOf(capture);
    this.dropped = capture.dropped;
  }

  /** Layer -> `[rows, width]`, all samples' rows. */
  get layers(): LayerTensors<"float32"> {
    return this.#capture.stream(this.#stream);
  }

  /** The layers that were captured, rising. */
  get layerIds(): readonly number[] {
    return [...this.layers.keys()];
  }

  /** Whether samples' rows can be told apart: always. */
  get labelled(): true {
    return true;
  }

  /** Number of samples. */
  get length(): number {
    return this.#capture.samples.length;
  }

  /**
   * A layer's rows, `[rows, width]`.
   *
   * @throws RequestError `UNKNOWN_LAYER`, naming those there are.
   */
  rows(layer: number): Tensor<"float32"> {
    return this.layers.rows(layer, 0, this.#capture.rows.length);
  }

  /**
   * The labels of a layer's rows; they are those of every layer.
   *
   * @throws RequestError `UNKNOWN_LAYER` as {@link rows}.
   */
  meta(layer: number): CaptureMeta {
    this.layers.rowDims(layer);
    const { length, sample, position, tokenId } = this.#capture.rows;
    return { length, reqIds: Array.from(sample, String), positions: position, tokenIds: tokenId };
  }

  /**
   * One sample's rows, layer -> `[rows, width]`, ordered by position.
   *
   * @throws RequestError `INVALID_ARGUMENT` when there is no such sample.
   */
  sample(index: number): Map<number, Tensor<"float32">> {
    return new Map(this.#capture.sample(index).stream(this.#stream));
  }

  /** One sample's rows of one layer, `[rows, width]`. @throws RequestError as {@link rows} and {@link sample}. */
  sampleRows(index: number, layer: number): Tensor<"float32"> {
    const { rows, layers } = this.#windowOf(index);
    return layers.rows(layer, 0, rows.length);
  }

  /**
   * One row of one sample in one layer, `[width]`.
   *
   * @param position among the rows that were captured of the sample; below 0 from their end.
   * @throws RequestError `INVALID_ARGUMENT` for a row that the sample does not have; as {@link sampleRows}.
   */
  token(index: number, layer: number, position = -1): Tensor<"float32"> {
    const { rows, layers } = this.#windowOf(index);
    const row = position < 0 ? rows.length + position : position;
    if (!(Number.isInteger(row) && row >= 0 && row < rows.length))
      throw new RequestError(
        "INVALID_ARGUMENT",
        `sample ${index} has ${rows.length} rows and none at ${position}`,
      );
    return tensor("float32", layers.rowDims(layer), layers.rows(layer, row, row + 1).data);
  }

  /** Positions of a sample's rows. @throws RequestError as {@link sample}. */
  samplePositions(index: number): number[] {
    return [...this.#windowOf(index).rows.position];
  }

  /** Token ids of a sample's rows. @throws RequestError as {@link sample}. */
  sampleTokenIds(index: number): number[] {
    return [...this.#windowOf(index).rows.tokenId];
  }

  /** By sample a list of layers, rising: `[sample][place among layerIds]` is `[rows, width]`. */
  toNested(): Tensor<"float32">[][] {
    return Array.from({ length: this.length }, (_, index) => [...this.sample(index).values()]);
  }

  #windowOf(index: number) {
    const sample = this.#capture.sample(index);
    return { rows: sample.rows, layers: sample.stream(this.#stream) };
  }
}
