import type { Coactivation } from "../coactivation.ts";
import type { CoactivationPair, CoactivationSummary } from "../layer-analysis.ts";
import { averageLinkage, cutTree, leafOrder, silhouette } from "../statistics/average-linkage.ts";

/** Pairs listed each way. */
const MAX_PAIRS = 20;
/**
 * Pairs that independent experts would share fewer rows of are not ranked: their lift is mostly chance. Cochran's rule
 * for expected counts (Biometrics 10, 1954).
 */
const MIN_EXPECTED = 5;
/** Beyond this many experts the whole matrix is left to `coactivation`: 512 experts are a quarter of a million numbers. */
const MAX_MATRIX = 128;

/** More clusters than this are no summary. */
const MAX_CLUSTERS = 12;

/** The pairs of a layer that stand out. `null` for top-1 routing and without rows. */
export function coactivationSummary(found: Coactivation): CoactivationSummary | null {
  const { experts, neutralLift } = found;
  if (!(neutralLift > 0)) return null;
  const pairs = rankedPairs(found);
  return {
    neutralLift,
    together: pairs.slice(0, MAX_PAIRS).filter(({ attraction }) => attraction > 1),
    apart: pairs
      .slice(-MAX_PAIRS)
      .reverse()
      .filter(({ attraction }) => attraction < 1),
    ...clustersOf(found),
    attraction: experts <= MAX_MATRIX ? matrix(found) : null,
  };
}

/**
 * The experts that are used, clustered by how much they seek each other's company: the distance of two is
 * 1 / (1 + attraction), 0 for experts that always serve the same tokens, 1/2 for a neutral pair, 1 for one that never
 * meets. The tree is cut where the silhouette is widest.
 */
function clustersOf({ experts, counts, lift, neutralLift }: Coactivation) {
  const all = Array.from({ length: experts }, (_, expert) => expert);
  const used = all.filter((expert) => counts[expert * experts + expert]! > 0);
  const n = used.length;
  const distances = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++)
      if (i !== j) distances[i * n + j] = 1 / (1 + lift[used[i]! * experts + used[j]!]! / neutralLift);
  const merges = averageLinkage(distances, n);
  let best: { width: number; cluster: Uint32Array } = { width: -Infinity, cluster: new Uint32Array(n) };
  for (let count = 2; count <= Math.min(MAX_CLUSTERS, n - 1); count++) {
    const cluster = cutTree(merges, n, count);
    const width = silhouette(distances, cluster);
    if (width > best.width) best = { width, cluster };
  }
  const clusters = Array.from({ length: Math.max(...best.cluster) + 1 }, (_, c) =>
    used.filter((_, i) => best.cluster[i] === c),
  );
  return {
    clusters: clusters.sort((a, b) => b.length - a.length || a[0]! - b[0]!),
    silhouette: Number.isFinite(best.width) ? best.width : null,
    order: [...leafOrder(merges, n).map((i) => used[i]!), ...all.filter((expert) => !used.includes(expert))],
  };
}

/** Pairs with enough rows to say something, by attraction, greatest first. */
function rankedPairs({ counts, lift, experts, rows, neutralLift }: Coactivation): CoactivationPair[] {
  const pairs: CoactivationPair[] = [];
  for (let a = 0; a < experts; a++)
    for (let b = a + 1; b < experts; b++) {
      const expected = (counts[a * experts + a]! * counts[b * experts + b]!) / rows;
      if (expected * neutralLift < MIN_EXPECTED) continue;
      const of = lift[a * experts + b]!;
      pairs.push({ a, b, count: counts[a * experts + b]!, lift: of, attraction: of / neutralLift });
    }
  return pairs.sort((x, y) => y.attraction - x.attraction || y.count - x.count);
}

function matrix({ lift, experts, neutralLift }: Coactivation): (number | null)[][] {
  const digits = (value: number) => (Number.isNaN(value) ? null : Number(value.toPrecision(3)));
  return Array.from({ length: experts }, (_, a) =>
    Array.from({ length: experts }, (_, b) => digits(lift[a * experts + b]! / neutralLift)),
  );
}
