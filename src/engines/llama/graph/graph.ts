import { GGML_TENSOR_FLAG_OUTPUT } from "../native/bindings.ts";
import { toNumber } from "../native/native-memory.ts";
import type { TensorPointer } from "../native/pointers.ts";
import { TENSOR } from "../native/tensor-reader.ts";

/**
 * A tensor of a graph that llama.cpp has built: an operation with what it reads, or a leaf (a weight, an input, a
 * cache). Only what it reads and which weights those are say what a tensor is. Its name says nothing: builders leave
 * names out, use one twice, and give it to what is not the thing.
 */
export interface GraphNode {
  /** Place in the order of computation; leaves come after all operations. */
  readonly index: number;
  readonly address: TensorPointer;
  /** ggml's name of the operation; unary and gated ones by their own names (`SIGMOID`, `SWIGLU`). `NONE`: a leaf. */
  readonly op: string;
  /** `ggml_type`. */
  readonly type: number;
  /** `ne`: the fastest axis first, always four. */
  readonly shape: readonly number[];
  /** `nb`: bytes from one entry of an axis to the next. */
  readonly strides: readonly number[];
  /** What it reads, at ggml's places; `null` where a place is left free (a softmax without a mask). */
  readonly sources: readonly (GraphNode | null)[];
  /** What reads it, in the order of computation; what reads it twice is there twice. */
  readonly readers: readonly GraphNode[];
  /** From which byte on a view shows its root's memory. */
  readonly viewOffset: number;
  /** The first of `op_params` as a whole number: the order of an argsort; for others the bits of a float (a scale's factor). */
  readonly parameter: number;
  /** Another of `op_params`, as a float: a clamp's limits are 0 and 1. */
  floatParameter(place: number): number;
  /** ggml's name of it. For leaves, and for what a user asks for by name. */
  readonly name: string;
}

/** `ggml_type` values that the resolver asks about. */
export const TYPE = { F32: 0, I32: 26 } as const;

/** No tensor, where an index is expected. */
export const NONE = -1;

/** A graph as it was read: see `read-graph.ts`. Indices count operations in the order of computation, then leaves. */
export interface GraphParts {
  readonly nodeCount: number;
  /** Addresses of the operations. */
  readonly nodes: Float64Array;
  readonly leaves: readonly {
    readonly address: TensorPointer;
    readonly name: string;
    readonly type: number;
  }[];
  /** The memory with the structs of all operations, and its address; 8 bytes of it are read with {@link toNumber}. */
  readonly numbers: Float64Array;
  readonly words: Int32Array;
  readonly from: TensorPointer;
  /** Of operations, indices into {@link opNames}, of which the first is `NONE`. */
  readonly op: Uint8Array;
  readonly opNames: readonly string[];
  /** Of each of {@link opNames}, whether its first parameter says what it computes. */
  readonly parameterTells: readonly boolean[];
  /** What operation i reads: `sources[sourcesFrom[i]]` up to `sources[sourcesFrom[i + 1] - 1]`, and at which places. */
  readonly sourcesFrom: Int32Array;
  readonly sources: Int32Array;
  readonly places: Uint8Array;
  /** Of operations, the tensor whose memory one shows; {@link NONE}: it has its own. */
  readonly viewOf: Int32Array;
  /** Whether ggml's scheduler copies tensors between devices. */
  readonly hasCopies: boolean;
  readonly name: (address: TensorPointer) => string;
}

/** Operations that show another tensor's memory and compute nothing. */
const VIEWS = new Set(["VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE"]);

/** Fields of the struct, in 8 bytes; the last one in 4. */
const [NE, NB, VIEW_OFFSET] = [TENSOR.ne >> 3, TENSOR.nb >> 3, TENSOR.viewOffset >> 3];
const [TYPE_WORD, PARAMETER, FLAGS] = [TENSOR.type >> 2, TENSOR.opParams >> 2, TENSOR.flags >> 2];

/**
 * A graph that is built and not yet computed; as long as llama.cpp keeps it.
 *
 * A graph of 48 layers has thousands of tensors and is read whenever llama.cpp builds one, for the most part by code
 * that has not run before. So what is asked of all tensors is in columns, by index; {@link Graph.at} shows one as an
 * object.
 */
export class Graph {
  readonly parts: GraphParts;
  /** Operations; leaves come behind them. */
  readonly nodeCount: number;
  readonly size: number;
  /** By index the tensor whose values a view shows, through all views; of what is none, itself. */
  readonly behindViews: Int32Array;
  /** By index whether a tensor's values are whole numbers: indices of rows, experts, cells. */
  readonly isIndex: Uint8Array;
  /** By index the layer of a leaf that is a weight of one; {@link NONE} for everything else. */
  readonly weightLayer: Int16Array;
  /** Who reads tensor i: `readers[readersFrom[i]]` up to `readers[readersFrom[i + 1] - 1]`, in the order of computation. */
  readonly readersFrom: Int32Array;
  readonly readers: Int32Array;
  readonly #isView: readonly boolean[];
  readonly #shown: (ShownNode | undefined)[] = [];

  constructor(parts: GraphParts) {
    const { nodeCount, nodes, leaves, from: base, words, op, opNames, sources, sourcesFrom } = parts;
    const size = nodeCount + leaves.length;
    this.parts = parts;
    this.nodeCount = nodeCount;
    this.size = size;
    const isView = opNames.map((op) => VIEWS.has(op));
    const root = new Int32Array(size);
    const isIndex = new Uint8Array(size);
    const weightLayer = new Int16Array(size).fill(NONE);
    for (let i = 0; i < leaves.length; i++) {
      const { name, type } = leaves[i]!;
      root[nodeCount + i] = nodeCount + i;
      isIndex[nodeCount + i] = type === TYPE.I32 ? 1 : 0;
      weightLayer[nodeCount + i] = layerIn(name);
    }
    const from = new Int32Array(size + 1);
    for (let i = 0; i < nodeCount; i++) {
      if (words[(nodes[i]! - base) / 4 + TYPE_WORD] === TYPE.I32) isIndex[i] = 1;
      const start = sourcesFrom[i]!;
      const end = sourcesFrom[i + 1]!;
      root[i] = isView[op[i]!] ? root[sources[start]!]! : i;
      for (let at = start; at < end; at++) from[sources[at]!]!++;
    }
    let total = 0;
    for (let i = 0; i <= size; i++) {
      const count = from[i]!;
      from[i] = total;
      total += count;
    }
    const readers = new Int32Array(total);
    const next = from.slice();
    for (let i = 0; i < nodeCount; i++)
      for (let at = sourcesFrom[i]!; at < sourcesFrom[i + 1]!; at++) readers[next[sources[at]!]!++] = i;
    this.#isView = isView;
    this.behindViews = root;
    this.isIndex = isIndex;
    this.weightLayer = weightLayer;
    this.readersFrom = from;
    this.readers = readers;
  }

  at(index: number): GraphNode {
    let node = this.#shown[index];
    if (!node) {
      node = new ShownNode(this, index);
      this.#shown[index] = node;
    }
    return node;
  }

  /** Whether an operation shows another tensor's memory and computes nothing. */
  isView(index: number): boolean {
    return this.#isView[this.parts.op[index]!]!;
  }

  /** Whether an operation writes into a cache. */
  writesState(index: number): boolean {
    const { viewOf, nodeCount } = this.parts;
    let at = index;
    while (at < nodeCount && viewOf[at] !== NONE) at = viewOf[at]!;
    return at >= nodeCount;
  }

  /** Whether llama.cpp takes an operation's values out of the graph. */
  isOutput(index: number): boolean {
    const { words, nodes, from } = this.parts;
    return (words[(nodes[index]! - from) / 4 + FLAGS]! & GGML_TENSOR_FLAG_OUTPUT) !== 0;
  }

  /** Number of an operation in the column of operations; {@link NONE}: the graph has none of it. */
  opNumber(name: string): number {
    return this.parts.opNames.indexOf(name);
  }

  /** All of an operation, in the order of computation. */
  nodes(name: string): GraphNode[] {
    const { op } = this.parts;
    const number = this.opNumber(name);
    const nodes: GraphNode[] = [];
    for (let i = 0; i < this.nodeCount; i++) if (op[i] === number) nodes.push(this.at(i));
    return nodes;
  }
}

const FLOAT = new Float32Array(1);
const BITS = new Int32Array(FLOAT.buffer);

/** Reads the columns when it is asked; what is asked for often is kept. */
class ShownNode implements GraphNode {
  readonly index: number;
  readonly op: string;
  readonly #graph: Graph;
  #sources: readonly (GraphNode | null)[] | null = null;
  #readers: readonly GraphNode[] | null = null;

  constructor(graph: Graph, index: number) {
    const { op, opNames, nodeCount } = graph.parts;
    this.#graph = graph;
    this.index = index;
    this.op = index < nodeCount ? opNames[op[index]!]! : "NONE";
  }

  get #leaf() {
    const { leaves, nodeCount } = this.#graph.parts;
    return leaves[this.index - nodeCount];
  }
  get address(): TensorPointer {
    return this.#leaf?.address ?? this.#graph.parts.nodes[this.index]!;
  }
  get type(): number {
    return this.#leaf?.type ?? this.#word(TYPE_WORD);
  }
  get shape(): readonly number[] {
    return this.#four(NE);
  }
  get strides(): readonly number[] {
    return this.#four(NB);
  }
  get sources(): readonly (GraphNode | null)[] {
    if (this.#sources) return this.#sources;
    const { sources, sourcesFrom, places } = this.#graph.parts;
    const shown: (GraphNode | null)[] = [];
    for (let at = sourcesFrom[this.index]!; at < sourcesFrom[this.index + 1]!; at++) {
      while (shown.length < places[at]!) shown.push(null);
      shown.push(this.#graph.at(sources[at]!));
    }
    this.#sources = shown;
    return shown;
  }
  get readers(): readonly GraphNode[] {
    if (this.#readers) return this.#readers;
    const { readers, readersFrom } = this.#graph;
    const shown: GraphNode[] = [];
    for (let at = readersFrom[this.index]!; at < readersFrom[this.index + 1]!; at++)
      shown.push(this.#graph.at(readers[at]!));
    this.#readers = shown;
    return shown;
  }
  get viewOffset(): number {
    return toNumber(this.#number(VIEW_OFFSET));
  }
  get parameter(): number {
    return this.#word(PARAMETER);
  }
  floatParameter(place: number): number {
    BITS[0] = this.#word(PARAMETER + place);
    return FLOAT[0]!;
  }
  get name(): string {
    return this.#leaf?.name ?? this.#graph.parts.name(this.address);
  }

  #word(field: number): number {
    const { words, from } = this.#graph.parts;
    return words[(this.address - from) / 4 + field]!;
  }

  #number(field: number): number {
    const { numbers, from } = this.#graph.parts;
    return numbers[(this.address - from) / 8 + field]!;
  }

  #four(field: number): number[] {
    return [0, 1, 2, 3].map((axis) => toNumber(this.#number(field + axis)));
  }
}

/** A weight of the model file by its GGUF name, which llama.cpp keeps: `blk.3.ffn_gate_inp.weight`. */
export interface Weight {
  /** `null`: of no layer. */
  readonly layer: number | null;
  /** The name without the layer, e.g. `ffn_gate_inp.weight`, `token_embd.weight`. */
  readonly part: string;
}

/** What a leaf is as a weight; inputs and caches come out as parts that no model has. */
export function weightNamed(name: string): Weight {
  const layer = layerIn(name);
  return layer === NONE
    ? { layer: null, part: name }
    : { layer, part: name.slice(name.indexOf(".", name.indexOf("blk.") + 4) + 1) };
}

/** `blk.3.`, behind `enc.` or `dec.` in models with both. */
function layerIn(name: string): number {
  const at = name.startsWith("blk.") ? 4 : name.startsWith("blk.", 4) ? 8 : NONE;
  const layer = at === NONE ? Number.NaN : Number.parseInt(name.slice(at), 10);
  return Number.isNaN(layer) ? NONE : layer;
}

export const isLeaf = ({ op }: GraphNode): boolean => op === "NONE";

/** The node whose values a view shows; any other node itself. */
export function behindViews(node: GraphNode): GraphNode {
  let at = node;
  while (VIEWS.has(at.op)) at = at.sources[0]!;
  return at;
}

/** The weight that a node reads as a whole at a place, directly or through views; `null`: it is no leaf. */
export function weightAt(node: GraphNode, place: number): Weight | null {
  const source = node.sources[place];
  if (!source) return null;
  const root = behindViews(source);
  return isLeaf(root) ? weightNamed(root.name) : null;
}

/** Whether a tensor is another or is computed from it. */
export function isComputedFrom(node: GraphNode, origin: GraphNode): boolean {
  const seen = new Set([node]);
  for (const at of seen)
    if (at.index > origin.index) for (const source of at.sources) if (source) seen.add(source);
  return seen.has(origin);
}
