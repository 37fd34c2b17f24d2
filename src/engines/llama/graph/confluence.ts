import { type Graph, NONE } from "./graph.ts";
import type { Levels } from "./levels.ts";

/**
 * Where the values of a graph run together on their way to the model's output.
 *
 * In a graph with one end, the tensors that all ways from a tensor to the end pass through are a line (its
 * post-dominators); of several tensors their lines meet. The first tensor where they do is the one that everything
 * computed from them goes through.
 */
export class Confluence {
  readonly #levels: Levels;
  readonly #op: Uint8Array;
  readonly #difference: number;
  /** By index, the next tensor that all ways pass through; {@link NONE}: none leads to the end. */
  readonly #next: Int32Array;
  /** How many there are until the end. */
  readonly #depth: Int32Array;

  constructor(graph: Graph, levels: Levels) {
    const { nodeCount, readers, readersFrom } = graph;
    this.#levels = levels;
    this.#op = graph.parts.op;
    this.#difference = graph.opNumber("SUB");
    this.#next = new Int32Array(nodeCount).fill(NONE);
    this.#depth = new Int32Array(nodeCount);
    // What the model puts out: the last operation on values that changes no cache.
    let end = nodeCount - 1;
    while (end >= 0 && !(levels.flows(end) && !writesState(graph, end))) end--;
    if (end < 0) return;
    this.#next[end] = end;
    for (let i = end - 1; i >= 0; i--) {
      if (!levels.flows(i)) continue;
      let meet: number = NONE;
      for (let at = readersFrom[i]!; at < readersFrom[i + 1]!; at++) {
        const reader = readers[at]!;
        if (this.#next[reader] !== NONE && !this.isSideways(i, reader))
          meet = meet === NONE ? reader : this.#meet(meet, reader);
      }
      if (meet === NONE) continue;
      this.#next[i] = meet;
      this.#depth[i] = this.#depth[meet]! + 1;
    }
  }

  /** Whether the model's output depends on a tensor's values. */
  leadsOut(index: number): boolean {
    return this.#next[index] !== NONE;
  }

  /** The first tensor that all ways from these lead through; they lead out. */
  of(indices: readonly number[]): number {
    return indices.reduce((a, b) => this.#meet(a, b));
  }

  /**
   * Whether a later layer only takes the difference to a value of an earlier one: RWKV-7 mixes each layer's values
   * with the first layer's so. It is no part of what a layer hands on.
   */
  isSideways(index: number, reader: number): boolean {
    return this.#op[reader] === this.#difference && this.#levels.of(index) < this.#levels.of(reader);
  }

  #meet(a: number, b: number): number {
    let [x, y] = [a, b];
    while (x !== y) {
      if (this.#depth[x]! < this.#depth[y]!) y = this.#next[y]!;
      else x = this.#next[x]!;
    }
    return x;
  }
}

/** Whether an operation writes into a cache. */
export function writesState({ parts: { viewOf }, nodeCount }: Graph, index: number): boolean {
  let at = index;
  while (at < nodeCount && viewOf[at] !== NONE) at = viewOf[at]!;
  return at >= nodeCount;
}
