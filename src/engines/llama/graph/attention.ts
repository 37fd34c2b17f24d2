import { behindViews, type Graph, type GraphNode, isLeaf } from "./graph.ts";
import { Levels } from "./levels.ts";
import { must, type Proof, prove } from "./proof.ts";
import { RowAxes } from "./rows.ts";

/**
 * The attention weights of each layer, `[keys, tokens, heads]`: the softmax of a product of keys and queries that
 * values are multiplied with. Flash attention has none in memory. Layers without are not in the map.
 *
 * A layer's keys must be its cache from the first cell on, or the step's own tokens where nothing is cached: only then
 * is key i the token at position i.
 */
export function findAttention(
  graph: Graph,
  levels = new Levels(graph),
  rows = new RowAxes(graph),
): ReadonlyMap<number, Proof<GraphNode>> {
  const byLayer = new Map<number, { softmax: GraphNode; keys: GraphNode }[]>();
  for (const node of graph.nodes("SOFT_MAX")) {
    const keys = keysOf(node, levels);
    if (!keys || !node.readers.some((reader) => reader.op === "MUL_MAT" && reader.sources[1] === node))
      continue;
    const layer = levels.of(node.index);
    byLayer.set(layer, [...(byLayer.get(layer) ?? []), { softmax: node, keys }]);
  }
  return new Map(
    [...byLayer].map(([layer, found]) => [
      layer,
      prove(() => {
        must(found.length === 1, () => `it attends ${found.length} times`);
        const [{ softmax, keys }] = found as [{ softmax: GraphNode; keys: GraphNode }];
        must(
          isCache(keys) || isStep(keys, rows),
          () => `its keys come of ${behindViews(keys).op}, so that a key is not one position`,
        );
        return softmax;
      }),
    ]),
  );
}

/** What the queries were multiplied with, if a softmax is one of such a product. */
function keysOf(softmax: GraphNode, levels: Levels): GraphNode | null {
  let at = softmax.sources[0]!;
  while (["SCALE", "TANH", "ADD"].includes(at.op)) at = at.sources[0]!;
  const [keys, queries] = at.sources;
  if (at.op !== "MUL_MAT" || !queries || !levels.isLive(queries.index)) return null;
  return keys!;
}

const CACHE = /^cache_k_l\d+$/;

function isCache(keys: GraphNode): boolean {
  for (let at = keys; ; at = at.sources[0]!) {
    if (isLeaf(at)) return CACHE.test(at.name);
    if (!["VIEW", "PERMUTE", "RESHAPE"].includes(at.op) || at.viewOffset !== 0) return false;
  }
}

function isStep(keys: GraphNode, rows: RowAxes): boolean {
  const own = rows.of(keys.index);
  return own?.of === "tokens" && own.axis === 1;
}
