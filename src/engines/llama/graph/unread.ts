import type { Graph } from "./graph.ts";
import type { Levels } from "./levels.ts";

/**
 * Words for an operation whose values nothing reads, though they are neither an output nor put into a cache; `null`:
 * there is none. llama.cpp builds no such thing: where one is, values flow in another way than they seem to.
 */
export function unreadWords(graph: Graph, levels: Levels): string | null {
  const { readersFrom } = graph;
  for (let i = 0; i < graph.nodeCount; i++)
    if (
      readersFrom[i] === readersFrom[i + 1] &&
      levels.isLive(i) &&
      !graph.isOutput(i) &&
      !graph.writesState(i)
    )
      return `nothing reads what an operation of layer ${levels.of(i)} computes (${graph.at(i).op})`;
  return null;
}
