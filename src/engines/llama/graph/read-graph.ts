import { EngineError } from "../../../core/errors.ts";
import type { Llama } from "../native/bindings.ts";
import { copiedTensors, isCopyName, type NativeGraph, TENSOR_STEP } from "../native/device-bindings.ts";
import { textAt, toNumber } from "../native/native-memory.ts";
import type { TensorPointer } from "../native/pointers.ts";
import { MAX_SOURCES, NAME_BYTES, TENSOR, TensorReader } from "../native/tensor-reader.ts";
import { Graph, NONE } from "./graph.ts";

/** Operations that have at most three (ggml.c); of others all places are read. */
const UP_TO_THREE = new Set([
  ...[
    "ADD",
    "SUB",
    "MUL",
    "DIV",
    "MUL_MAT",
    "MUL_MAT_ID",
    "ADD_ID",
    "RMS_NORM",
    "NORM",
    "L2_NORM",
    "SOFT_MAX",
    "ROPE",
  ],
  ...[
    "VIEW",
    "RESHAPE",
    "PERMUTE",
    "TRANSPOSE",
    "CONT",
    "CPY",
    "DUP",
    "SCALE",
    "CLAMP",
    "REPEAT",
    "CONCAT",
    "PAD",
  ],
  ...["GET_ROWS", "SET_ROWS", "ARGSORT", "SUM_ROWS", "FILL", "SQR", "SQRT"],
]);
/** Fields of the struct, in 8 bytes. */
const [SOURCES, VIEW_OF] = [TENSOR.src >> 3, TENSOR.viewSrc >> 3];
/** And in 4 bytes. */
const [OP, PARAMETER] = [TENSOR.op >> 2, TENSOR.opParams >> 2];

/** Reads graphs where llama.cpp has built them. */
export class GraphReader {
  readonly #llama: Llama;
  readonly #tensors: TensorReader;
  /** Names of operations by their number; of unary and gated ones by their parameter too. */
  readonly #opNames = new Map<number, string>();

  constructor(llama: Llama) {
    this.#llama = llama;
    this.#tensors = new TensorReader(llama.memory);
  }

  /**
   * What operations read and is none of them is a leaf. Where ggml's scheduler has put a copy on another device in
   * between, the original is read through it.
   *
   * @throws EngineError if the graph does not lie as llama.cpp makes it.
   */
  read({ nodes, from, memory }: NativeGraph): Graph {
    const bytes = Buffer.from(memory);
    const numbers = new Float64Array(memory);
    const words = new Int32Array(memory);
    const nodeCount = nodes.length;
    // By place in the graph's memory the index of a tensor, one more than that; 0: none that is known.
    const known = new Int32Array(Math.ceil(memory.byteLength / TENSOR_STEP));
    for (let i = 0; i < nodeCount; i++) {
      const place = (nodes[i]! - from) / TENSOR_STEP;
      if (known[place] !== 0) throw misplaced(); // outside, or of another node
      known[place] = i + 1;
    }
    const { op, opNames, parameterTells } = this.#operations(nodes, from, words);
    const upTo = opNames.map((name, i) => (UP_TO_THREE.has(name) || parameterTells[i] ? 3 : MAX_SOURCES));
    const leaves = new Leaves(
      this.#llama,
      this.#tensors,
      nodeCount,
      (tensor) => known[(tensor - from) / TENSOR_STEP]!,
    );
    let edges = 0;
    for (let i = 0; i < nodeCount; i++) edges += upTo[op[i]!]!;
    const sources = new Int32Array(edges);
    const places = new Uint8Array(edges);
    const sourcesFrom = new Int32Array(nodeCount + 1);
    const viewOf = new Int32Array(nodeCount).fill(NONE);
    let count = 0;
    for (let i = 0; i < nodeCount; i++) {
      const at = (nodes[i]! - from) / 8 + SOURCES;
      const end = upTo[op[i]!]!;
      for (let place = 0; place < end; place++) {
        const pointer = numbers[at + place]!;
        if (pointer === 0) continue;
        const index = known[(toNumber(pointer) - from) / TENSOR_STEP];
        places[count] = place;
        sources[count++] = index ? index - 1 : leaves.indexOf(toNumber(pointer));
      }
      sourcesFrom[i + 1] = count;
      const root = numbers[at + VIEW_OF - SOURCES]!;
      if (root === 0) continue;
      const index = known[(toNumber(root) - from) / TENSOR_STEP];
      viewOf[i] = index ? index - 1 : leaves.indexOf(toNumber(root));
    }
    return new Graph({
      ...{ nodeCount, nodes, from, numbers, words, op, opNames, parameterTells },
      ...{ sources, places, sourcesFrom, viewOf, leaves: leaves.found, hasCopies: leaves.hasCopies },
      name: (address) => textAt(bytes, address - from + TENSOR.name, NAME_BYTES),
    });
  }

  #operations(nodes: Float64Array, from: number, words: Int32Array) {
    const opNames = ["NONE"];
    const parameterTells = [false];
    const add = (name: string, tells: boolean): number => {
      parameterTells.push(tells);
      return opNames.push(name) - 1;
    };
    // From ggml's number, and the parameter of those that have kinds, to ours.
    const numbers: number[] = [0];
    const kinds = new Map<number, number>();
    const op = new Uint8Array(nodes.length);
    for (let i = 0; i < nodes.length; i++) {
      const at = (nodes[i]! - from) >> 2;
      const native = words[at + OP]!;
      let number = numbers[native];
      if (number === undefined) {
        const name = this.#named(native, () => this.#llama.opName(native));
        number = name === "UNARY" || name === "GLU" ? NONE : add(name, name === "ARGSORT");
        numbers[native] = number;
      }
      if (number === NONE) {
        const parameter = words[at + PARAMETER]!;
        const key = 1000 * (native + 1) + parameter;
        number = kinds.get(key);
        if (number === undefined) {
          number = add(
            this.#named(key, () => this.#kindName(native, parameter)),
            true,
          );
          kinds.set(key, number);
        }
      }
      op[i] = number;
    }
    return { op, opNames, parameterTells };
  }

  #kindName(op: number, parameter: number): string {
    const name = this.#named(op, () => this.#llama.opName(op));
    return name === "UNARY" ? this.#llama.unaryOpName(parameter) : this.#llama.gatedOpName(parameter);
  }

  #named(key: number, ask: () => string): string {
    let name = this.#opNames.get(key);
    if (name === undefined) {
      name = ask();
      this.#opNames.set(key, name);
    }
    return name;
  }
}

/** What operations read and is none of them. */
class Leaves {
  readonly found: { address: TensorPointer; name: string; type: number }[] = [];
  readonly #llama: Llama;
  readonly #tensors: TensorReader;
  readonly #nodeCount: number;
  readonly #nodeAt: (tensor: TensorPointer) => number;
  readonly #indices = new Map<TensorPointer, number>();
  #copies: ReadonlyMap<TensorPointer, TensorPointer> | null = null;

  /** @param nodeAt one more than the index of the operation at an address, if there is one. */
  constructor(
    llama: Llama,
    tensors: TensorReader,
    nodeCount: number,
    nodeAt: (tensor: TensorPointer) => number,
  ) {
    this.#llama = llama;
    this.#tensors = tensors;
    this.#nodeCount = nodeCount;
    this.#nodeAt = nodeAt;
  }

  get hasCopies(): boolean {
    return this.#copies !== null;
  }

  indexOf(address: TensorPointer): number {
    let index = this.#indices.get(address);
    if (index === undefined) {
      index = this.#add(address);
      this.#indices.set(address, index);
    }
    return index;
  }

  #add(address: TensorPointer): number {
    const name = this.#tensors.name(address);
    if (isCopyName(name)) {
      this.#copies ??= copiedTensors(this.#llama.memory, address, this.#tensors);
      const original = this.#copies.get(address);
      if (original !== undefined) return (this.#nodeAt(original) || this.indexOf(original) + 1) - 1;
    }
    return this.#nodeCount + this.found.push({ address, name, type: this.#tensors.type(address) }) - 1;
  }
}

const misplaced = () =>
  new EngineError(
    "ENGINE_FAILED",
    "llama.cpp's graph does not look as expected: its tensors do not lie one behind the other; nothing is captured",
  );
