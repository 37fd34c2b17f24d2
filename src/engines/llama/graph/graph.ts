import type { TensorPointer } from "../bindings.ts";

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
  /** The tensor whose memory this one shows, and from which byte on; `null`: it has its own. */
  readonly viewOf: GraphNode | null;
  readonly viewOffset: number;
  /** The first of `op_params` as a whole number: the order of an argsort; for others the bits of a float (a scale's factor). */
  readonly parameter: number;
  /** ggml's name of it. For leaves and for what a user asks for by name. */
  readonly name: string;
}

/** A graph that is built and not yet computed. */
export interface Graph {
  /** In the order of computation: each after all that it reads. */
  readonly nodes: readonly GraphNode[];
  readonly leaves: readonly GraphNode[];
}

/** `ggml_type` values that the resolver asks about. */
export const TYPE = { F32: 0, I32: 26 } as const;

/** A weight of the model file by its GGUF name, which llama.cpp keeps: `blk.3.ffn_gate_inp.weight`. */
export interface Weight {
  /** `null`: of no layer. */
  readonly layer: number | null;
  /** The name without the layer, e.g. `ffn_gate_inp.weight`, `token_embd.weight`. */
  readonly part: string;
}

const LAYER_WEIGHT = /^(?:enc\.|dec\.)?blk\.(\d+)\.(.+)$/;

/** What a leaf is as a weight; inputs and caches come out as parts that no model has. */
export function weightOf({ name }: GraphNode): Weight {
  const [, layer, part] = LAYER_WEIGHT.exec(name) ?? [];
  return layer === undefined ? { layer: null, part: name } : { layer: Number(layer), part: part! };
}

export const isLeaf = ({ op }: GraphNode): boolean => op === "NONE";

const VIEWS = new Set(["VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE"]);

/** Whether a node shows another tensor's memory and computes nothing. */
export const isView = ({ op }: GraphNode): boolean => VIEWS.has(op);

/** The node whose values a view shows; any other node itself. */
export function behindViews(node: GraphNode): GraphNode {
  let at = node;
  while (isView(at)) at = at.sources[0]!;
  return at;
}

/** The weight that a node reads as a whole at a place, directly or through views; `null`: it is no leaf. */
export function weightAt(node: GraphNode, place: number): Weight | null {
  const source = node.sources[place];
  if (!source) return null;
  const root = behindViews(source);
  return isLeaf(root) ? weightOf(root) : null;
}

/** Who reads each tensor, in the order of computation; a reader that reads it twice is there twice. */
export class Readers {
  readonly #byIndex: GraphNode[][];

  constructor({ nodes, leaves }: Graph) {
    this.#byIndex = Array.from({ length: nodes.length + leaves.length }, () => []);
    for (const node of nodes)
      for (const source of node.sources) if (source) this.#byIndex[source.index]!.push(node);
  }

  of(node: GraphNode): readonly GraphNode[] {
    return this.#byIndex[node.index]!;
  }
}
