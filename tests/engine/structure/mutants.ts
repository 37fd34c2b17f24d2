import type { Graph, GraphNode } from "../../../src/engines/llama/graph/graph.ts";
import { type NativeGraph, TENSOR_STEP } from "../../../src/engines/llama/native/device-bindings.ts";
import { MAX_SOURCES, NAME_BYTES, TENSOR } from "../../../src/engines/llama/native/tensor-reader.ts";

/** Whole numbers from 0 below n. */
export type Random = (n: number) => number;

/** mulberry32. */
export function seeded(seed: number): Random {
  let state = seed;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
}

export interface Mutant {
  readonly what: string;
  readonly native: NativeGraph;
}

/** A copy of a graph's memory, to be changed as llama.cpp could have built it, with room for one more tensor. */
class Copy {
  readonly nodes: number[];
  readonly from: number;
  readonly memory: ArrayBuffer;
  readonly #pointers: BigUint64Array;
  readonly #bytes: Uint8Array;
  #end: number;

  constructor({ nodes, from, memory }: NativeGraph) {
    this.nodes = [...nodes];
    this.from = from;
    this.#end = Math.ceil(memory.byteLength / TENSOR_STEP) * TENSOR_STEP;
    this.memory = new ArrayBuffer(this.#end + TENSOR_STEP);
    this.#bytes = new Uint8Array(this.memory);
    this.#bytes.set(new Uint8Array(memory));
    this.#pointers = new BigUint64Array(this.memory);
  }

  get native(): NativeGraph {
    return { nodes: Float64Array.from(this.nodes), nodesAt: 0, from: this.from, memory: this.memory };
  }

  name({ address }: GraphNode): Uint8Array {
    const at = address - this.from + TENSOR.name;
    return this.#bytes.subarray(at, at + NAME_BYTES);
  }

  /** Have a tensor read another at a place. */
  source({ address }: GraphNode, place: number, source: number): void {
    this.#pointers[(address - this.from + TENSOR.src) / 8 + place] = BigInt(source);
  }

  setName(node: GraphNode, name: string): void {
    const bytes = this.name(node);
    bytes.fill(0);
    bytes.set(new TextEncoder().encode(name).subarray(0, NAME_BYTES - 1));
  }

  /** Compute a tensor twice, the second time right after the first. */
  duplicate(node: GraphNode): number {
    const from = node.address - this.from;
    this.#bytes.copyWithin(this.#end, from, from + TENSOR.size);
    const address = this.from + this.#end;
    this.nodes.splice(this.nodes.indexOf(node.address) + 1, 0, address);
    this.#end += TENSOR_STEP;
    return address;
  }
}

type Mutation = (copy: Copy, graph: Graph, random: Random) => string | null;

/** By what is done; each gives its words, or `null` where the dice fell on what cannot be changed so. */
const MUTATIONS: Readonly<Record<string, Mutation>> = {
  "give a tensor another's name"(copy, graph, random) {
    const [a, b] = [nodeOf(graph, random), nodeOf(graph, random)];
    copy.setName(a, b.name);
    return `${a.name} is named ${b.name}`;
  },
  "swap two names"(copy, graph, random) {
    const [a, b] = [nodeOf(graph, random), nodeOf(graph, random)];
    copy.setName(a, b.name);
    copy.setName(b, a.name);
    return `${a.name} and ${b.name} swap names`;
  },
  "swap names of one kind over layers"(copy, graph, random) {
    const a = nodeOf(graph, random);
    const alike = others(graph, (b) => b !== a && a.op === b.op && sameKind(a.name, b.name));
    const b = pick(alike, random);
    if (!b) return null;
    copy.setName(a, b.name);
    copy.setName(b, a.name);
    return `${a.name} and ${b.name} swap names`;
  },
  "take away a name"(copy, graph, random) {
    const a = nodeOf(graph, random);
    copy.setName(a, "");
    return `${a.name} has no name`;
  },
  "compute twice, read by nothing"(copy, graph, random) {
    const a = nodeOf(graph, random);
    copy.duplicate(a);
    return `${a.name} is computed twice, the second time for nothing`;
  },
  "compute twice, read by some"(copy, graph, random) {
    const a = nodeOf(graph, random);
    const readers = [...new Set(a.readers)];
    if (readers.length < 2) return null;
    const twin = copy.duplicate(a);
    const moved = readers.filter((_, i) => i === 0 || random(2) === 0).slice(0, readers.length - 1);
    for (const reader of moved)
      reader.sources.forEach((source, place) => {
        if (source === a) copy.source(reader, place, twin);
      });
    return `${a.name} is computed twice, and the second read by ${moved.map(({ name }) => name).join(", ")}`;
  },
  "read another tensor of the same shape"(copy, graph, random) {
    const reader = nodeOf(graph, random);
    const place = random(MAX_SOURCES);
    const source = reader.sources[place];
    if (!source) return null;
    const other = pick(
      others(graph, (node) => node !== source && node.index < reader.index && isAlike(node, source)),
      random,
    );
    if (!other) return null;
    copy.source(reader, place, other.address);
    return `${reader.name} reads ${other.name} for ${source.name}`;
  },
  "read the tensor before"(copy, graph, random) {
    const reader = nodeOf(graph, random);
    const place = random(2);
    const source = reader.sources[place];
    const before = source?.sources.find((node) => node && isAlike(node, source));
    if (!source || !before) return null;
    copy.source(reader, place, before.address);
    return `${reader.name} reads ${before.name} for ${source.name}, which comes of it`;
  },
  "swap what reads two tensors"(copy, graph, random) {
    const a = nodeOf(graph, random);
    const b = pick(
      others(graph, (node) => node.index > a.index && isAlike(node, a)),
      random,
    );
    if (!b || a.readers.some((reader) => reader.index <= b.index)) return null;
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const)
      for (const reader of new Set(from.readers))
        reader.sources.forEach((source, place) => {
          if (source === from) copy.source(reader, place, to.address);
        });
    return `${a.name} and ${b.name} swap their readers`;
  },
  "read another layer's weight"(copy, graph, random) {
    const reader = nodeOf(graph, random);
    const weight = reader.sources.find((source) => source && graph.weightLayer[source.index]! >= 0);
    if (!weight) return null;
    const leaves = Array.from({ length: graph.size - graph.nodeCount }, (_, i) =>
      graph.at(graph.nodeCount + i),
    );
    const other = pick(
      leaves.filter((leaf) => leaf !== weight && sameKind(leaf.name, weight.name)),
      random,
    );
    if (!other) return null;
    copy.source(reader, reader.sources.indexOf(weight), other.address);
    return `${reader.name} reads ${other.name} for ${weight.name}`;
  },
};

export const MUTATION_NAMES = Object.keys(MUTATIONS);

/** @returns `null` where the dice fell on what cannot be changed so. */
export function mutant(kind: string, graph: Graph, native: NativeGraph, random: Random): Mutant | null {
  const copy = new Copy(native);
  const what = MUTATIONS[kind]!(copy, graph, random);
  return what === null ? null : { what, native: copy.native };
}

const nodeOf = (graph: Graph, random: Random) => graph.at(random(graph.nodeCount));

function others(graph: Graph, is: (node: GraphNode) => boolean): GraphNode[] {
  return Array.from({ length: graph.nodeCount }, (_, i) => graph.at(i)).filter(is);
}

const pick = <T>(from: readonly T[], random: Random): T | undefined => from[random(from.length)];

const isAlike = (a: GraphNode, b: GraphNode): boolean =>
  a.op !== "NONE" && b.op !== "NONE" && a.type === b.type && `${a.shape}` === `${b.shape}`;

const sameKind = (a: string, b: string): boolean =>
  a !== b && a.replace(/\d+/g, "") === b.replace(/\d+/g, "");
