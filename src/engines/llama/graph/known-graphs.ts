import type { Llama } from "../native/bindings.ts";
import type { NativeGraph } from "../native/device-bindings.ts";
import { toNumber } from "../native/native-memory.ts";
import { TENSOR } from "../native/tensor-reader.ts";
import { NONE } from "./graph.ts";
import { GraphTaps } from "./graph-taps.ts";
import type { ModelShape } from "./model-shape.ts";
import { GraphReader } from "./read-graph.ts";

/** Graphs that are remembered: one for prompts, one for single tokens, with and without outputs, and some to spare. */
const REMEMBERED = 8;
/** Nearly all operations have no more operands. */
const FEW_SOURCES = 3;
const [OP, PARAMETER] = [TENSOR.op >> 2, TENSOR.opParams >> 2];
const [NE, SOURCES, VIEW_OF] = [TENSOR.ne >> 3, TENSOR.src >> 3, TENSOR.viewSrc >> 3];

/** A graph, and what was found in it. */
export interface KnownGraph {
  readonly taps: GraphTaps;
  /** Index of the product with the output matrix; see {@link GraphTaps.outputProduct}. */
  readonly outputProduct: number;
  /** Roots that an operation writes to through a view, by index. */
  readonly rewritten: ReadonlySet<number>;
  /** The structs as they were. */
  readonly numbers: Float64Array;
  readonly native: NativeGraph;
}

/**
 * The graphs llama.cpp has built so far. It builds another whenever the number of tokens changes, mostly the same one:
 * then every operation reads the same tensors, at the same addresses, and what was proven holds for it.
 */
export class KnownGraphs {
  readonly #reader: GraphReader;
  readonly #shape: ModelShape;
  #known: KnownGraph[] = [];

  constructor(llama: Llama, shape: ModelShape) {
    this.#reader = new GraphReader(llama);
    this.#shape = shape;
  }

  /** Addresses may come again with something else: call when the context is another. */
  forget(): void {
    this.#known = [];
  }

  /** Call before anything in the graph is changed. */
  of(native: NativeGraph): KnownGraph {
    const found = this.#known.find((known) => isSame(known, native)) ?? this.#read(native);
    this.#known = [found, ...this.#known.filter((known) => known !== found)].slice(0, REMEMBERED);
    return found;
  }

  #read(native: NativeGraph): KnownGraph {
    const taps = new GraphTaps(this.#reader.read(native), this.#shape);
    return {
      taps,
      outputProduct: taps.outputProduct(),
      rewritten: rewritten(taps),
      numbers: new Float64Array(native.memory).slice(),
      native,
    };
  }
}

/** Tokens of a graph's step; {@link NONE} where it looks none up. */
function tokensOf({ graph, rows: { tokens } }: GraphTaps, numbers: Float64Array): number {
  const { nodeCount, leaves, from } = graph.parts;
  if (tokens < nodeCount) return NONE;
  return toNumber(numbers[(leaves[tokens - nodeCount]!.address - from) / 8 + NE]!);
}

/**
 * Whether all operations are the same and read the same; sizes, and where values lie, may differ. But with one token an
 * axis of that size could count anything: what was found out then does not hold for several.
 */
function isSame(known: KnownGraph, { nodes, from, memory }: NativeGraph): boolean {
  const before = known.native;
  if (before.from !== from || before.nodes.length !== nodes.length) return false;
  const { op, parameterTells, hasCopies } = known.taps.graph.parts;
  // What the scheduler copies between devices has addresses that say nothing.
  if (hasCopies) return false;
  const numbers = new Float64Array(memory);
  const words = new Int32Array(memory);
  const numbersBefore = known.numbers;
  const wordsBefore = new Int32Array(numbersBefore.buffer);
  if (tokensOf(known.taps, numbersBefore) === 1 && tokensOf(known.taps, numbers) !== 1) return false;
  for (let i = 0; i < nodes.length; i++) {
    if (nodes[i] !== before.nodes[i]) return false;
    const at = (nodes[i]! - from) / 8;
    const word = 2 * at;
    // What was left out before is left out still, where llama.cpp uses its graph again.
    if (words[word + OP] !== wordsBefore[word + OP] && words[word + OP] !== 0) return false;
    if (parameterTells[op[i]!] && words[word + PARAMETER] !== wordsBefore[word + PARAMETER]) return false;
    if (numbers[at + VIEW_OF] !== numbersBefore[at + VIEW_OF]) return false;
    let place = at + SOURCES;
    const few = place + FEW_SOURCES;
    for (; place < few; place++) if (numbers[place] !== numbersBefore[place]) return false;
    if (numbersBefore[few] === 0 && numbers[few] === 0) continue;
    for (; place < at + VIEW_OF; place++) if (numbers[place] !== numbersBefore[place]) return false;
  }
  return true;
}

/** After the step they hold what that operation left, so they are copied in time whatever the strategy. */
function rewritten({ graph }: GraphTaps): Set<number> {
  const { viewOf } = graph.parts;
  const roots = new Set<number>();
  for (let i = 0; i < graph.nodeCount; i++) if (viewOf[i] !== NONE && !graph.isView(i)) roots.add(viewOf[i]!);
  return roots;
}
