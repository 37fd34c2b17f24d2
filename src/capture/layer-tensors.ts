import { type StreamName, streamSpec } from "../core/streams.ts";
import { type Tensor, type TensorDataTypes, type TensorType, tensor } from "../core/tensor.ts";
import type { CaptureSource } from "./source.ts";

/**
 * A read-only Map from layer to tensor `[rows, ...]`. Values are fetched when asked for: in a stored capture only
 * the layers that are looked at are read.
 */
export class LayerTensors<T extends TensorType> implements ReadonlyMap<number, Tensor<T>> {
  readonly #source: CaptureSource;
  readonly #name: StreamName;
  readonly #layers: readonly number[];
  readonly #from: number;
  readonly #to: number;

  constructor(source: CaptureSource, name: StreamName, layers: readonly number[], from: number, to: number) {
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

  /** Sizes of the axes behind `rows` in a layer, without reading the layer: `[experts]`, `[heads, keys]`. */
  rowDims(layer: number): readonly number[] {
    return this.#source.dims(this.#name, layer);
  }

  /** Values of a row in a layer, without reading the layer: the product of {@link rowDims}. */
  width(layer: number): number {
    return this.rowDims(layer).reduce((product, size) => product * size, 1);
  }

  /** Rows `[from, to)` of a layer, counted from this map's first row: for captures that do not fit in memory. */
  rows(layer: number, from: number, to: number): Tensor<T> {
    const first = this.#from + from;
    const data = this.#source.read(this.#name, layer, first, this.#from + to) as TensorDataTypes[T];
    return tensor(streamSpec(this.#name).type as T, [to - from, ...this.rowDims(layer)], data);
  }

  keys(): MapIterator<number> {
    return this.#layers.values();
  }

  *values(): MapIterator<Tensor<T>> {
    for (const layer of this.#layers) yield this.get(layer)!;
  }

  *entries(): MapIterator<[number, Tensor<T>]> {
    for (const layer of this.#layers) yield [layer, this.get(layer)!];
  }

  [Symbol.iterator](): MapIterator<[number, Tensor<T>]> {
    return this.entries();
  }

  forEach(callback: (value: Tensor<T>, layer: number, map: ReadonlyMap<number, Tensor<T>>) => void): void {
    for (const [layer, value] of this) callback(value, layer, this);
  }
}
