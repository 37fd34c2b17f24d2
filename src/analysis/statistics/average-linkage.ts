import { largest } from "../../core/extremes.ts";
/** A merge of two clusters, as scipy's `linkage` numbers them: below n the items, n + i what merge i made. */
export interface Merge {
  readonly a: number;
  readonly b: number;
  readonly distance: number;
  /** Items in the new cluster. */
  readonly size: number;
}

/**
 * Hierarchical clustering with average linkage (UPGMA): the two clusters whose items lie nearest on average are merged
 * until one is left. As `scipy.cluster.hierarchy.linkage(condensed, "average")`.
 *
 * Source: Sokal and Michener, Univ. Kansas Sci. Bull. 38 (1958); merged by nearest-neighbour chains (Murtagh, Comput.
 * J. 26, 1983), which takes n^2 steps.
 *
 * @param distances `[n, n]`, symmetric; is not changed.
 * @returns n - 1 merges by distance, least first.
 */
export function averageLinkage(distances: Float64Array, n: number): Merge[] {
  const d = distances.slice();
  const size = new Uint32Array(n).fill(1);
  // A chain of items, each the nearest of the one before, ends in two that are each other's nearest.
  const chain: number[] = [];
  const merges: { x: number; y: number; distance: number }[] = [];
  while (merges.length < n - 1) {
    if (chain.length === 0) chain.push(size.findIndex((items) => items > 0));
    const x = chain.at(-1)!;
    const before = chain.at(-2) ?? -1;
    let y = before;
    let nearest = before < 0 ? Infinity : d[x * n + before]!;
    for (let i = 0; i < n; i++)
      if (i !== x && size[i]! > 0 && d[x * n + i]! < nearest) {
        nearest = d[x * n + i]!;
        y = i;
      }
    if (y !== before) {
      chain.push(y);
      continue;
    }
    chain.length -= 2;
    merges.push({ x, y, distance: nearest });
    for (let i = 0; i < n; i++)
      if (i !== x && i !== y && size[i]! > 0) {
        const mean = (size[x]! * d[x * n + i]! + size[y]! * d[y * n + i]!) / (size[x]! + size[y]!);
        d[y * n + i] = mean;
        d[i * n + y] = mean;
      }
    size[y]! += size[x]!;
    size[x] = 0;
  }
  return numbered(merges, n);
}

/** Merges in order of distance, with the clusters' numbers. */
function numbered(merges: readonly { x: number; y: number; distance: number }[], n: number): Merge[] {
  const clusterOf = Array.from({ length: n }, (_, item) => item);
  const sizes = new Array<number>(n).fill(1);
  const root = (item: number): number => {
    let at = item;
    while (clusterOf[at] !== at) at = clusterOf[at]!;
    return at;
  };
  return [...merges]
    .sort((p, q) => p.distance - q.distance)
    .map(({ x, y, distance }, i) => {
      const [a, b] = [root(x), root(y)].sort((p, q) => p - q) as [number, number];
      const size = sizes[a]! + sizes[b]!;
      clusterOf.push(n + i);
      sizes.push(size);
      clusterOf[a] = n + i;
      clusterOf[b] = n + i;
      return { a, b, distance, size };
    });
}

/** Cluster of each item when the tree is cut into `count`; numbered by their first item. */
export function cutTree(merges: readonly Merge[], n: number, count: number): Uint32Array {
  const parent = Uint32Array.from({ length: n + merges.length }, (_, i) => i);
  merges.slice(0, n - count).forEach(({ a, b }, i) => {
    parent[a] = n + i;
    parent[b] = n + i;
  });
  const index = new Map<number, number>();
  return Uint32Array.from({ length: n }, (_, item) => {
    let at = item;
    while (parent[at] !== at) at = parent[at]!;
    if (!index.has(at)) index.set(at, index.size);
    return index.get(at)!;
  });
}

/** The items in the order of the tree's leaves, as `scipy.cluster.hierarchy.leaves_list`. */
export function leafOrder(merges: readonly Merge[], n: number): number[] {
  const order: number[] = [];
  const stack = [n + merges.length - 1];
  while (stack.length > 0) {
    const node = stack.pop()!;
    if (node < n) order.push(node);
    else stack.push(merges[node - n]!.b, merges[node - n]!.a);
  }
  return order;
}

/**
 * Mean silhouette width of a clustering: of each item (b - a) / max(a, b), a its mean distance to its own cluster, b to
 * the nearest other; 0 for an item alone. As `sklearn.metrics.silhouette_score(..., metric="precomputed")`.
 *
 * Source: Rousseeuw, J. Comput. Appl. Math. 20 (1987).
 */
export function silhouette(distances: Float64Array, cluster: Uint32Array): number {
  const n = cluster.length;
  const count = largest(cluster) + 1;
  const size = new Float64Array(count);
  for (const c of cluster) size[c]!++;
  let total = 0;
  const sums = new Float64Array(count);
  for (let i = 0; i < n; i++) {
    const own = cluster[i]!;
    if (size[own] === 1) continue;
    sums.fill(0);
    for (let j = 0; j < n; j++) sums[cluster[j]!]! += distances[i * n + j]!;
    const a = sums[own]! / (size[own]! - 1);
    let b = Infinity;
    for (let c = 0; c < count; c++) if (c !== own) b = Math.min(b, sums[c]! / size[c]!);
    total += Math.max(a, b) === 0 ? 0 : (b - a) / Math.max(a, b);
  }
  return total / n;
}
