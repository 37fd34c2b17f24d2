import { largest } from "../../../core/extremes.ts";
import { type Graph, type GraphNode, NONE, weightAt } from "./graph.ts";

/** Of no layer: before the first one. */
const BEFORE_LAYERS = -1;
/** Carries no token's values. */
const STILL = -2;

/**
 * Which layer each operation belongs to, told by the weights among what it is computed from: the highest layer of
 * them. Only values count, from the tokens' embeddings on. Indices (which expert, which row) and what depends on no
 * token (masks, positions, tables of weights) carry none.
 */
export class Levels {
  /** Operations that carry values and read weights of each layer, in the order of computation. */
  readonly readers = new Map<number, number[]>();
  /** By layer the highest layer after which its weights are read once more. */
  readonly #readAgain = new Map<number, number>();
  /** The last layer that there is. */
  readonly last: number;
  readonly #levels: Int16Array;
  readonly #isIndex: Uint8Array;

  constructor(graph: Graph) {
    const { nodeCount, weightLayer, behindViews, isIndex } = graph;
    const { sources, sourcesFrom, op } = graph.parts;
    const lookup = graph.opNumber("GET_ROWS");
    const levels = new Int16Array(graph.size).fill(STILL);
    for (let i = 0; i < nodeCount; i++) {
      let level = op[i] === lookup && isEmbedding(graph.at(i)) ? BEFORE_LAYERS : STILL;
      let own: number = NONE;
      for (let at = sourcesFrom[i]!; at < sourcesFrom[i + 1]!; at++) {
        const source = sources[at]!;
        if (levels[source]! > level && isIndex[source] === 0) level = levels[source]!;
        const layer = weightLayer[behindViews[source]!]!;
        if (layer > own) own = layer;
      }
      if (level === STILL) continue;
      levels[i] = Math.max(level, own);
      if (own === NONE) continue;
      const readers = this.readers.get(own);
      if (readers) readers.push(i);
      else this.readers.set(own, [i]);
      if (own < level) this.#readAgain.set(own, Math.max(level, this.#readAgain.get(own) ?? level));
    }
    this.#levels = levels;
    this.#isIndex = isIndex;
    this.last = Math.max(BEFORE_LAYERS, largest(this.readers.keys()));
  }

  /**
   * Why it cannot be said what belongs to a layer, or `null`: its weights, or an earlier layer's, are read after it has
   * begun or after a later one (layers that are gone through more than once).
   */
  tangle(layer: number): string | null {
    for (const [earlier, later] of this.#readAgain)
      if (earlier <= layer && layer <= later)
        return `weights of layer ${earlier} are read after layer ${later} has begun: the layers are not gone through once each`;
    return null;
  }

  /** The layer of a tensor that carries values; below {@link BEFORE_LAYERS} if it carries none. */
  of(index: number): number {
    return this.#levels[index]!;
  }

  /** Whether a tensor is computed from values of the step's tokens. */
  isLive(index: number): boolean {
    return this.#levels[index]! > STILL;
  }

  /** Whether values flow from a tensor into what reads it. */
  flows(index: number): boolean {
    return this.#levels[index]! > STILL && this.#isIndex[index] === 0;
  }
}

/** One matrix may serve for both; some architectures give it the name of the output's then. */
const EMBEDDINGS = new Set(["token_embd.weight", "output.weight"]);

/** The rows of the embedding table that belong to the step's tokens. */
export const isEmbedding = (node: GraphNode): boolean =>
  node.op === "GET_ROWS" && EMBEDDINGS.has(weightAt(node, 0)?.part ?? "");
