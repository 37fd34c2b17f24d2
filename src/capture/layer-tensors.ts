import { RequestError } from "../core/errors.ts";
import { ranges } from "../core/plan.ts";
import { type StreamName, streamSpec } from "../core/streams.ts";

import { assertRows, type Tensor, type TensorDataTypes, type TensorType, tensor } from "../core/tensor.ts";
import type { CaptureSource } from "./source.ts";

/** What a Map's iterators are called differs between versions of TypeScript. */
type LayerIterator<Method extends "keys" | "values" | "entries", T extends TensorType> = ReturnType<
  ReadonlyMap<number, Tensor<T>>[Method]
>;

/**
 * A read-only Map from layer to tensor `[rows, ...]`. Values are fetched when asked for: in a stored capture only
 * the layers that are looked at are read.
 *
 * @example
 * for (const [layer, { dims, data }] of capture.routerLogits) console.log(layer, dims, data[0]);
 * const ids = capture.expertIds.get(3); // undefined where layer 3 has no router
 * console.log(ids?.type, ids?.dims); // uint16 [rows, topK]
 */
export class LayerTensors<T extends TensorType> implements ReadonlyMap<number, Tensor<T>> {
  readonly #source: CaptureSource;
  readonly #name: StreamName;
  readonly #layers: readonly number[];
  readonly #from: number;
  readonly #to: number;

  /** @internal Users get them from a capture. */
  static of<T extends TensorType>(
    source: CaptureSource,
    name: StreamName,
    layers: readonly number[],
    from: number,
    to: number,
  ): LayerTensors<T> {
    return new LayerTensors(source, name, layers, from, to);
  }

  private constructor(
    source: CaptureSource,
    name: StreamName,
    layers: readonly number[],
    from: number,
    to: number,
  ) {
    this.#source = source;
    this.#name = name;
    this.#layers = layers;
    this.#from = from;
    this.#to = to;
  }

  get size(): number {
    return this.#layers.length;
  }

  has(layer: number): boolean {
    return this.#layers.includes(layer);
  }

  get(layer: number): Tensor<T> | undefined {
    if (!this.has(layer)) return undefined;
    return this.rows(layer, 0, this.#to - this.#from);
  }

  /**
   * Sizes of the axes behind `rows` in a layer, without reading the layer: `[experts]`, `[heads, keys]`.
   *
   * @throws RequestError `UNKNOWN_LAYER` for a layer that the map does not have.
   */
  rowDims(layer: number): readonly number[] {
    this.#assertLayer(layer);
    return this.#source.dims(this.#name, layer);
  }

  /**
   * Values of a row in a layer, without reading the layer: the product of {@link rowDims}.
   *
   * @throws RequestError as {@link rowDims}.
   */
  width(layer: number): number {
    return this.rowDims(layer).reduce((product, size) => product * size, 1);
  }

  /**
   * Rows `[from, to)` of a layer, counted from this map's first row: for captures that do not fit in memory.
   *
   * @throws RequestError `UNKNOWN_LAYER` for a layer that the map does not have, `INVALID_ARGUMENT` for rows that it does
   * not have.
   * @example
   * const { routerLogits, rows } = capture.sample(0);
   * let greatest = -Infinity;
   * for (let row = 0; row < rows.length; row += 1000)
   *   for (const logit of routerLogits.rows(5, row, Math.min(row + 1000, rows.length)).data)
   *     greatest = Math.max(greatest, logit);
   */
  rows(layer: number, from: number, to: number): Tensor<T> {
    this.#assertLayer(layer);
    assertRows(from, to, this.#to - this.#from, this.#name);
    const first = this.#from + from;
    const data = this.#source.read(this.#name, layer, first, this.#from + to) as TensorDataTypes[T];
    return tensor(streamSpec(this.#name).type as T, [to - from, ...this.rowDims(layer)], data);
  }

  keys(): LayerIterator<"keys", T> {
    return this.#layers.values();
  }

  *values(): LayerIterator<"values", T> {
    for (const layer of this.#layers) yield this.get(layer)!;
  }

  *entries(): LayerIterator<"entries", T> {
    for (const layer of this.#layers) yield [layer, this.get(layer)!];
  }

  [Symbol.iterator](): LayerIterator<"entries", T> {
    return this.entries();
  }

  #assertLayer(layer: number): void {
    if (this.has(layer)) return;
    throw new RequestError(
      "UNKNOWN_LAYER",
      `no layer ${layer} of ${this.#name} was captured; ` +
        (this.size === 0 ? "there is none" : `there are ${ranges(this.#layers)}, counted from 0`),
    );
  }

  forEach(callback: (value: Tensor<T>, layer: number, map: ReadonlyMap<number, Tensor<T>>) => void): void {
    for (const [layer, value] of this) callback(value, layer, this);
  }
}
