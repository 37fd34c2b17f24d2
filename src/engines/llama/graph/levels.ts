import { behindViews, type Graph, type GraphNode, isLeaf, TYPE, weightAt, weightOf } from "./graph.ts";

/** Of no layer: before the first one. */
export const BEFORE_LAYERS = -1;

/**
 * Which layer each operation belongs to, told by the weights among what it is computed from: the highest layer of
 * them. Only values count, from the tokens' embeddings on. Indices (which expert, which row) and what depends on no
 * token (masks, positions, tables of weights) carry none.
 */
export class Levels {
  /** By index; leaves and what carries no token's values are `null`. */
  readonly #levels: (number | null)[] = [];
  /** Operations that read weights of each layer and carry values. */
  readonly readers = new Map<number, GraphNode[]>();
  /** By layer an operation that reads its weights though it comes after a later layer. */
  readonly late = new Map<number, GraphNode>();
  /** The last layer that there is. */
  readonly last: number;

  constructor(graph: Graph) {
    for (const node of graph.nodes) this.#levels[node.index] = this.#levelOf(node);
    this.last = Math.max(BEFORE_LAYERS, ...this.readers.keys());
  }

  /** Whether a tensor carries values of the step's tokens. */
  isLive(node: GraphNode): boolean {
    return this.#at(node) !== null;
  }

  /** Of a tensor that carries values. */
  of(node: GraphNode): number {
    return this.#at(node) ?? BEFORE_LAYERS;
  }

  /** Whether values flow from a tensor into an operation that reads it. */
  flows(source: GraphNode): boolean {
    return source.type !== TYPE.I32 && this.isLive(source);
  }

  #at(node: GraphNode): number | null {
    return this.#levels[node.index] ?? null;
  }

  #levelOf(node: GraphNode): number | null {
    const { sources } = node;
    let level = isEmbedding(node) ? BEFORE_LAYERS : null;
    for (const source of sources)
      if (source && this.flows(source)) level = Math.max(level ?? BEFORE_LAYERS, this.of(source));
    if (level === null) return null;
    for (const source of sources) {
      const layer = source && weightLayer(source);
      if (layer === null) continue;
      if (layer < level) this.late.set(layer, node);
      level = Math.max(level, layer);
      this.#addReader(layer, node);
    }
    return level;
  }

  #addReader(layer: number, node: GraphNode): void {
    const readers = this.readers.get(layer);
    if (!readers) this.readers.set(layer, [node]);
    else if (readers.at(-1) !== node) readers.push(node);
  }
}

/** The rows of the embedding table that belong to the step's tokens. */
export const isEmbedding = (node: GraphNode): boolean =>
  node.op === "GET_ROWS" && weightAt(node, 0)?.part === "token_embd.weight";

function weightLayer(source: GraphNode): number | null {
  const root = behindViews(source);
  return isLeaf(root) ? weightOf(root).layer : null;
}
