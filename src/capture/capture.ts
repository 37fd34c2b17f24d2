import type { EditRecord } from "../core/edits.ts";
import type { EmbeddingInfo } from "../core/embedding.ts";
import { RequestError } from "../core/errors.ts";
import { lowerBound } from "../core/lower-bound.ts";
import type { ModelInfo } from "../core/model-info.ts";
import { argument, list, unchecked } from "../core/options.ts";
import type { Reduction } from "../core/plan.ts";
import type { Finished } from "../core/request.ts";
import { PHASES, type Phase } from "../core/rows.ts";
import type { SampleInfo } from "../core/sink.ts";
import { activationStream, type StreamName, type StreamType } from "../core/streams.ts";
import { LayerTensors } from "./layer-tensors.ts";
import { SelectedSource } from "./selected-source.ts";
import type { CaptureOrigin, CaptureSource, MissingRows } from "./source.ts";

/**
 * The rows of a capture as columns of equal length.
 *
 * @example
 * const { sample, position, text, phase } = capture.rows;
 * for (const row of [0, 1, 2]) console.log(sample[row], position[row], phase[row], JSON.stringify(text[row]));
 */
export class Rows {
  readonly length: number;
  readonly sample: Int32Array;
  /** 0-based position in the sample: prompt, then what was generated. */
  readonly position: Int32Array;
  readonly tokenId: Int32Array;
  readonly #phase: Uint8Array;
  readonly #tokenText: (tokenId: number) => string;
  readonly #samples: readonly SampleInfo[];

  /** @internal Rows come with a {@link Capture}. */
  static of(source: CaptureSource, from: number, to: number): Rows {
    return new Rows(source, from, to);
  }

  private constructor(source: CaptureSource, from: number, to: number) {
    this.length = to - from;
    this.sample = source.labels.sample.subarray(from, to);
    this.position = source.labels.position.subarray(from, to);
    this.tokenId = source.labels.tokenId.subarray(from, to);
    this.#phase = source.labels.phase.subarray(from, to);
    this.#tokenText = source.tokenText;
    this.#samples = source.header.samples;
  }

  /** `prompt` or `generated`, per row. */
  get phase(): Phase[] {
    return Array.from(this.#phase, (phase) => PHASES[phase]!);
  }

  /** Text of each token; bytes that are no UTF-8 on their own appear as `<0xE2>`. */
  get text(): string[] {
    return Array.from(this.tokenId, this.#tokenText);
  }

  /** The label of each row's sample, or `null`. */
  get label(): (string | null)[] {
    return Array.from(this.sample, (sample) => this.#samples[sample]!.label);
  }
}

/**
 * The rows of a run with their labels: `capture.routerLogits.get(5)` is `[rows, experts]` of layer 5.
 *
 * @example
 * import type { Capture } from "moescope";
 * // Rows of a label that used an expert of a layer:
 * const uses = ({ rows, expertIds }: Capture, label: string, layer: number, expert: number) =>
 *   rows.label.filter((of, row) => of === label && expertIds.rows(layer, row, row + 1).data.includes(expert)).length;
 * console.log(uses(capture, "french", 3, 7));
 * console.log(capture.sample(0).routerLogits.get(3)?.dims); // [rows of the first prompt, experts]
 */
export class Capture {
  readonly rows: Rows;
  readonly model: ModelInfo;
  readonly engine: { readonly kind: string; readonly version: string };
  /** The prompts' labels and lengths, by sample index. */
  readonly samples: readonly SampleInfo[];
  /** What was generated, and pooled embeddings, by sample; samples that did not end are absent. */
  readonly outputs: readonly Finished[];
  /** How the outputs' embeddings were made; `null`: there are none. */
  readonly embedding: EmbeddingInfo | null;
  /** What was changed in the computation of all samples, as plain objects; `samples` say what was in theirs alone. */
  readonly edits: readonly EditRecord[];
  /** Whether the run came to its end. A folder whose writer was killed opens with `false`. */
  readonly complete: boolean;
  /** What is known of the rows that are not here. */
  readonly missing: readonly MissingRows[];
  /** Rows of the run that were selected and not kept, as they were beyond its `maxRows`. */
  readonly dropped: number;
  /** What became of the rows of a sample that were selected. Of a `mean` the position and the token id are -1. */
  readonly reduce: Reduction;
  readonly #source: CaptureSource;
  readonly #from: number;
  readonly #to: number;

  /** @internal Users get captures from `LanguageModel.capture` and `openCapture`. */
  static of(source: CaptureSource): Capture {
    return new Capture(source, 0, source.labels.sample.length);
  }

  private constructor(source: CaptureSource, from: number, to: number) {
    this.#source = source;
    this.#from = from;
    this.#to = to;
    this.rows = Rows.of(source, from, to);
    this.model = source.header.model;
    this.engine = source.header.engine;
    this.samples = source.header.samples;
    this.outputs = source.finished;
    this.embedding = source.header.embedding ?? null;
    this.edits = source.header.edits ?? [];
    this.complete = source.complete;
    this.missing = source.missing;
    this.dropped = source.dropped;
    this.reduce = source.reduce;
  }

  /** Text of a token that occurs in the rows; bytes that are no UTF-8 on their own appear as `<0xE2>`. */
  tokenText(tokenId: number): string {
    return this.#source.tokenText(tokenId);
  }

  /**
   * The token ids of a sample's prompt, whichever of its rows were kept; `null` where the folder does not hold them.
   *
   * @throws RequestError `INVALID_ARGUMENT` when there is no such sample; CaptureError `CAPTURE_INVALID` for a damaged file.
   */
  promptTokens(sample: number): Int32Array | null {
    this.#assertSample(sample);
    return this.#source.promptTokens(sample);
  }

  /** Where the rows can be opened again; `null` when they are in memory only, or are a part of one sample. */
  get origin(): CaptureOrigin | null {
    return this.#from === 0 && this.#to === this.#source.labels.sample.length ? this.#source.origin : null;
  }

  /** The streams that were captured. */
  get streams(): StreamName[] {
    return this.#source.streams.map(({ name }) => name);
  }

  /**
   * One stream as a Map from layer to tensor `[rows, ...]`. Empty when no layer has it.
   *
   * @throws RequestError `UNKNOWN_STREAM` when the capture was made without it.
   */
  stream<S extends StreamName>(name: S): LayerTensors<StreamType<S>> {
    const found = this.#source.streams.find((stream) => stream.name === name);
    if (!found)
      throw new RequestError(
        "UNKNOWN_STREAM",
        `this capture has no ${name}; it has ${this.streams.join(", ")}`,
      );
    return LayerTensors.of<StreamType<S>>(this.#source, name, found.layers, this.#from, this.#to);
  }

  /** Raw router outputs, `[rows, experts]` per MoE layer. */
  get routerLogits(): LayerTensors<"float32"> {
    return this.stream("router_logits");
  }

  /** The experts the engine used, `[rows, topK]` per MoE layer, best first. */
  get expertIds(): LayerTensors<"uint16"> {
    return this.stream("expert_ids");
  }

  /** The weights of {@link expertIds}, `[rows, topK]` per MoE layer. */
  get expertWeights(): LayerTensors<"float32"> {
    return this.stream("expert_weights");
  }

  /** What each of {@link expertIds} put out, before its weight, `[rows, topK, hiddenSize]` per MoE layer. */
  get expertOutputs(): LayerTensors<"float32"> {
    return this.stream("expert_outputs");
  }

  /** What the shared experts added, `[rows, hiddenSize]` per MoE layer that has them. */
  get sharedExpertOutput(): LayerTensors<"float32"> {
    return this.stream("shared_expert_output");
  }

  /** The residual stream after each layer, `[rows, hiddenSize]`. */
  get hiddenStates(): LayerTensors<"float32"> {
    return this.stream("hidden_states");
  }

  /**
   * Attention weights, `[rows, heads, keys]` per layer with attention. A key is a position of the row's sample; those
   * after the row's own are 0. Captured with `topKeys`: the largest weights, at the positions in
   * {@link attentionKeys}.
   */
  get attention(): LayerTensors<"float32"> {
    return this.stream("attention");
  }

  /** Positions of the weights in {@link attention} where those were captured with `topKeys`; -1: none. */
  get attentionKeys(): LayerTensors<"int32"> {
    return this.stream("attention_keys");
  }

  /** A tensor of the computation by the engine's name for it, `[rows, ...]`: the stream `activation:<tensor>`. */
  activation(tensor: string): LayerTensors<"float32"> {
    return this.stream(activationStream(tensor));
  }

  /**
   * The rows of one sample, sharing this capture's memory.
   *
   * @throws RequestError `INVALID_ARGUMENT` when there is no such sample.
   */
  sample(index: number): this {
    this.#assertSample(index);
    const column = this.#source.labels.sample;
    return new Capture(
      this.#source,
      lowerBound(column, index, this.#from, this.#to),
      lowerBound(column, index + 1, this.#from, this.#to),
    ) as this;
  }

  #assertSample(index: number): void {
    if (!(Number.isInteger(index) && index >= 0 && index < this.samples.length))
      throw new RequestError("INVALID_ARGUMENT", `no sample ${index}; there are ${this.samples.length}`);
  }

  /**
   * The rows of some samples, which keep their indices. Values stay where they are.
   *
   * @throws RequestError `INVALID_ARGUMENT` when one of them does not exist.
   */
  only(samples: Iterable<number>): this {
    const chosen = argument("only", "the samples", samples, list<number>(unchecked));
    const spans = [...new Set(chosen)]
      .sort((a, b) => a - b)
      .map((index) => {
        const { length } = this.sample(index).rows;
        const from = lowerBound(this.#source.labels.sample, index, this.#from, this.#to);
        return { sample: index, from, to: from + length };
      });
    return Capture.of(new SelectedSource(this.#source, spans)) as this;
  }
}
