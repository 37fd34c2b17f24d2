import type { Llama, TensorPointer } from "../bindings.ts";
import { copiedTensors, isCopyName } from "../device-bindings.ts";
import { TensorReader, type TensorRecord } from "../tensor-reader.ts";
import type { Graph, GraphNode } from "./graph.ts";

/** Reads graphs where llama.cpp has built them. */
export class GraphReader {
  readonly #llama: Llama;
  readonly #tensors: TensorReader;
  /** Names of operations by their number; of unary and gated ones by their parameter too. */
  readonly #ops = new Map<number, string>();

  constructor(llama: Llama) {
    this.#llama = llama;
    this.#tensors = new TensorReader(llama.memory);
  }

  /**
   * @param addresses all operations in the order of computation. What they read and is none of them is a leaf. Where
   * ggml's scheduler has put a copy on another device in between, the original is read through it.
   */
  read(addresses: readonly TensorPointer[]): Graph {
    const known = new Map<TensorPointer, ReadNode>();
    const records: TensorRecord[] = [];
    const nodes = addresses.map((address, index) => {
      const record = this.#tensors.record(address);
      records.push(record);
      const node = new ReadNode(index, address, this.#opName(address, record), record, this.#tensors);
      known.set(address, node);
      return node;
    });
    const leaves: ReadNode[] = [];
    let copies: ReadonlyMap<TensorPointer, TensorPointer> | null = null;
    const leaf = (address: TensorPointer): ReadNode => {
      if (isCopyName(this.#tensors.name(address))) {
        copies ??= copiedTensors(this.#llama.memory, address, this.#tensors);
        const original = copies.get(address);
        if (original !== undefined) return nodeAt(original)!;
      }
      const record = this.#tensors.record(address);
      const index = nodes.length + leaves.length;
      const node = new ReadNode(index, address, this.#opName(address, record), record, this.#tensors);
      leaves.push(node);
      known.set(address, node);
      return node;
    };
    const nodeAt = (address: TensorPointer): ReadNode | null =>
      address === 0 ? null : (known.get(address) ?? leaf(address));
    nodes.forEach((node, i) => {
      const { sources, viewSource } = records[i]!;
      node.sources = sources.map(nodeAt);
      node.viewOf = nodeAt(viewSource);
    });
    return { nodes, leaves };
  }

  #opName(address: TensorPointer, { op, parameter }: TensorRecord): string {
    const name = this.#cached(op, () => this.#llama.opName(op));
    if (name !== "UNARY" && name !== "GLU") return name;
    return this.#cached((op + 1) * 1000 + parameter, () => this.#llama.opDescription(address));
  }

  #cached(key: number, ask: () => string): string {
    let name = this.#ops.get(key);
    if (name === undefined) {
      name = ask();
      this.#ops.set(key, name);
    }
    return name;
  }
}

/** A tensor as it was when the graph was read. Its name is read when it is asked for: few are. */
class ReadNode implements GraphNode {
  readonly index: number;
  readonly address: TensorPointer;
  readonly op: string;
  readonly type: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly viewOffset: number;
  readonly parameter: number;
  sources: readonly (GraphNode | null)[] = [];
  viewOf: GraphNode | null = null;
  readonly #tensors: TensorReader;

  constructor(
    index: number,
    address: TensorPointer,
    op: string,
    { type, shape, strides, viewOffset, parameter }: TensorRecord,
    tensors: TensorReader,
  ) {
    this.index = index;
    this.address = address;
    this.op = op;
    this.type = type;
    this.shape = shape;
    this.strides = strides;
    this.viewOffset = viewOffset;
    this.parameter = parameter;
    this.#tensors = tensors;
  }

  get name(): string {
    return this.#tensors.name(this.address);
  }
}
