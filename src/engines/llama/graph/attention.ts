import { behindViews, type Graph, type GraphNode, isLeaf, weightNamed } from "./graph.ts";
import { Levels } from "./levels.ts";
import { must, type Proof, prove, Unproven } from "./proof.ts";
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
  const byLayer = new Map<number, Attended[]>();
  for (const node of graph.nodes("SOFT_MAX")) {
    const product = productBefore(node, levels);
    if (!product || !node.readers.some((reader) => reader.op === "MUL_MAT" && reader.sources[1] === node))
      continue;
    const layer = levels.of(node.index);
    byLayer.set(layer, [...(byLayer.get(layer) ?? []), { softmax: node, ...product }]);
  }
  return new Map(
    [...byLayer].map(([layer, found]) => [
      layer,
      prove(() => {
        const tangle = levels.tangle(layer);
        if (tangle !== null) throw new Unproven(tangle);
        must(found.length === 1, () => `it attends ${found.length} times`);
        const [{ softmax, keys, queries }] = found as [Attended];
        must(
          layerBefore(queries, levels) === layer && layerBehind(softmax) === layer,
          () => "its queries, or what comes of its attention, belong to another layer",
        );
        must(
          isCache(keys) || isStep(keys, rows),
          () => `its keys come of ${behindViews(keys).op}, so that a key is not one position`,
        );
        return softmax;
      }),
    ]),
  );
}

interface Attended {
  readonly softmax: GraphNode;
  readonly keys: GraphNode;
  readonly queries: GraphNode;
}

/** Keys and queries, if a softmax is one of their product. */
function productBefore(softmax: GraphNode, levels: Levels): Omit<Attended, "softmax"> | null {
  let at = softmax.sources[0]!;
  while (["SCALE", "TANH", "ADD"].includes(at.op)) at = at.sources[0]!;
  const [keys, queries] = at.sources;
  return at.op === "MUL_MAT" && keys && queries && levels.isLive(queries.index) ? { keys, queries } : null;
}

/** The layer of the weight that a tensor was last multiplied with; `null`: of none. */
function layerBefore(node: GraphNode, levels: Levels): number | null {
  for (let at: GraphNode | undefined | null = node; at; ) {
    const layer = weightLayer(at);
    if (layer !== null) return layer;
    at = at.sources.find((source) => source && levels.flows(source.index));
  }
  return null;
}

/** The layer of the weights that a tensor is next multiplied with; `null`: of none, or of several layers. */
function layerBehind(node: GraphNode): number | null {
  const layers = new Set<number>();
  const seen = new Set(node.readers);
  for (const at of seen) {
    const layer = weightLayer(at);
    if (layer !== null) layers.add(layer);
    else for (const reader of at.readers) seen.add(reader);
  }
  return layers.size === 1 ? [...layers][0]! : null;
}

/** The layer of a weight that an operation reads, directly or through views. */
function weightLayer({ sources }: GraphNode): number | null {
  for (const source of sources) {
    const root = source && behindViews(source);
    const layer = root && isLeaf(root) ? weightNamed(root.name).layer : null;
    if (layer !== null) return layer;
  }
  return null;
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
