import { rowsNotFinite } from "../../core/finite-rows.ts";
import type { ModelInfo, MoeLayer } from "../../core/model-info.ts";
import { moeLayer } from "../../core/moe-layer.ts";
import type { RowLabels } from "../../core/rows.ts";
import type { StreamName, StreamType } from "../../core/streams.ts";
import { type Tensor, type TensorDataTypes, tensor } from "../../core/tensor.ts";
import { isPlainSoftmax, type RowGate, rowGate } from "../../gating/row-gate.ts";
import { rowEntropy, rowMargin } from "../statistics/row-entropy.ts";
import { withBestFirst } from "./best-expert.ts";
import { type ChosenRows, chosenIn, type LayerValues, rowChunks, untold } from "./chosen.ts";
import { columnsWithin, type RowColumns } from "./row-columns.ts";
import type { StreamReader } from "./stream-reader.ts";

/**
 * Some rows of one layer with their labels. A stream is read when somebody asks for it, and once for all who do; so is
 * what follows from it.
 */
export class LayerChunk implements RowLabels, ChosenRows {
  /** Index of the first row among those that are scanned. */
  readonly from: number;
  readonly rows: number;
  readonly sample: Int32Array;
  readonly position: Int32Array;
  readonly tokenId: Int32Array;
  readonly phase: Uint8Array;
  readonly #model: ModelInfo;
  readonly #layer: number;
  readonly #values: LayerValues;
  readonly #known = new Map<StreamName, unknown>();
  #chosen: Pick<ChosenRows, "ids" | "weights"> | null = null;
  #bestFirst: Uint16Array | null = null;
  #logits: Tensor<"float32"> | null = null;
  #entropy: Float64Array | null = null;
  #margin: Float64Array | null = null;
  #gate: RowGate | null | undefined;
  #unranked: Uint8Array | null | undefined;

  /**
   * @param labels of these rows.
   * @param values of these rows; `null` for a stream the layer has not.
   */
  constructor(
    model: ModelInfo,
    layer: number,
    from: number,
    rows: number,
    labels: RowLabels,
    values: LayerValues,
  ) {
    this.from = from;
    this.rows = rows;
    this.sample = labels.sample;
    this.position = labels.position;
    this.tokenId = labels.tokenId;
    this.phase = labels.phase;
    this.#model = model;
    this.#layer = layer;
    this.#values = values;
  }

  /** Chosen experts, `[rows, topK]`. @throws as `chosenIn`. */
  get ids(): Uint16Array {
    return this.#choose().ids;
  }

  /** Their mixing weights, `[rows, topK]`; `null` when ids were captured without them. @throws as `chosenIn`. */
  get weights(): Float32Array | null {
    return this.#choose().weights ?? this.#read("expert_weights");
  }

  /** {@link ids} with the best expert of each row in front; see `withBestFirst`. @throws as `chosenIn`. */
  get bestFirst(): Uint16Array {
    const { ids, weights, topK } = this;
    this.#bestFirst ??= withBestFirst({ ids, topK, weights, logits: weights ? null : this.logits });
    return this.#bestFirst;
  }

  /**
   * Per row 1 where the best expert is not known, because a weight (or the logits that stand in for weights) is no finite
   * number; `null` where it is of all.
   */
  get unranked(): Uint8Array | null {
    if (this.#unranked === undefined) {
      const { weights } = this;
      // Logits are not read where weights tell the best expert.
      const [values, width] = weights ? [weights, this.topK] : [this.entropy, 1];
      this.#unranked = values && rowsNotFinite(values, width);
    }
    return this.#unranked;
  }

  /** Experts of the layer, how many a token uses, and the rule. */
  get routing(): MoeLayer {
    return moeLayer(this.#model.moe!, this.#layer);
  }

  /** Whether {@link ids} are known: captured, or told by the logits. */
  get hasIds(): boolean {
    return this.#read("expert_ids") !== null || (this.logits && untold(this.#model, this.#layer)) === null;
  }

  get topK(): number {
    return this.ids.length / this.rows;
  }

  /** `[rows, experts]`; `null` when they were not captured. */
  get logits(): Tensor<"float32"> | null {
    const data = this.#read("router_logits");
    this.#logits ??= data && tensor("float32", [this.rows, data.length / this.rows], data);
    return this.#logits;
  }

  /** Routing entropy of each row in nats, NaN where a logit is NaN or infinite; `null` without logits. */
  get entropy(): Float64Array | null {
    this.#entropy ??= this.logits && rowEntropy(this.logits);
    return this.#entropy;
  }

  /** Margin of each row in logits, NaN where the entropy is; `null` without logits. */
  get margin(): Float64Array | null {
    this.#margin ??= this.logits && this.#marginOf(this.logits, this.entropy!);
    return this.#margin;
  }

  /** The same by the gate's own scores and choice; `null` without logits or a rule, and for a plain softmax. */
  get gate(): RowGate | null {
    if (this.#gate === undefined) {
      const { gating } = moeLayer(this.#model.moe!, this.#layer);
      const own = gating !== null && gating.chosenBy !== "token_id" && !isPlainSoftmax(gating);
      this.#gate = own && this.logits ? rowGate(this.logits, gating, this.ids) : null;
    }
    return this.#gate;
  }

  #marginOf(logits: Tensor<"float32">, entropy: Float64Array): Float64Array {
    const margin = rowMargin(logits, this.ids);
    entropy.forEach((nats, row) => {
      if (Number.isNaN(nats)) margin[row] = Number.NaN;
    });
    return margin;
  }

  /** Weights of captured ids are left to who asks for them. */
  #choose(): Pick<ChosenRows, "ids" | "weights"> {
    this.#chosen ??= chosenIn(this.#model, this.#layer, (stream) =>
      stream === "expert_weights" ? null : this.#read(stream),
    );
    return this.#chosen;
  }

  #read<S extends StreamName>(stream: S): TensorDataTypes[StreamType<S>] | null {
    if (!this.#known.has(stream)) this.#known.set(stream, this.#values(stream));
    return this.#known.get(stream) as TensorDataTypes[StreamType<S>] | null;
  }
}

/** Rows `[from, to)` of one layer. */
export function layerChunk(
  reader: StreamReader,
  model: ModelInfo,
  columns: RowColumns,
  layer: number,
  from: number,
  to: number,
): LayerChunk {
  const values: LayerValues = (stream) =>
    reader.has(stream, layer) ? reader.read(stream, layer, from, to) : null;
  return new LayerChunk(model, layer, from, to - from, columnsWithin(columns, from, to), values);
}

/** One layer from its first row to its last, a few thousand rows at a time. */
export function* layerChunks(
  reader: StreamReader,
  model: ModelInfo,
  columns: RowColumns,
  layer: number,
): Generator<LayerChunk> {
  for (const [from, to] of rowChunks(columns.length))
    yield layerChunk(reader, model, columns, layer, from, to);
}
