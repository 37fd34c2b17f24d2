import { largest } from "../../core/extremes.ts";
import { schema } from "../../core/schema.ts";
import { averageLinkage, cutTree, leafOrder, silhouette } from "../statistics/average-linkage.ts";
import type { StreamMeasure } from "./measure.ts";
import { type Coactivation, coactivationOf, type PairCounts, pairCounts } from "./tallies/pair-counts.ts";

/** Experts of one layer that serve the same tokens. */
export interface CoactivationSummary {
  /** Lift of all pairs together; see {@link Coactivation.neutralLift}. */
  readonly neutralLift: number;
  /** Pairs that serve the same tokens most, by {@link CoactivationPair.relativeLift}. */
  readonly together: readonly CoactivationPair[];
  /** Pairs that do so least. */
  readonly apart: readonly CoactivationPair[];
  /** Groups of experts that serve the same tokens; average linkage, cut where the silhouette is widest. */
  readonly clusters: readonly (readonly number[])[];
  /** Mean silhouette width of these clusters, -1 to 1; below 0.25 there is no structure to speak of. */
  readonly silhouette: number | null;
  /** The experts in the order of the dendrogram's leaves, dead ones last: a map in this order shows blocks. */
  readonly order: readonly number[];
  /**
   * `[expert][expert]` of the relative lift, 3 digits; `null` where undefined. Left out (`null`) beyond 128 experts, and
   * in overviews.
   */
  readonly relativeLift: readonly (readonly (number | null)[])[] | null;
}

/** Two experts of a layer, and how often they serve the same token. */
export interface CoactivationPair {
  readonly a: number;
  readonly b: number;
  /** Rows that used both. */
  readonly count: number;
  /** count / (count expected of independent experts). */
  readonly lift: number;
  /** {@link lift} over the neutral lift: 1 is neutral, above it they serve the same tokens more often. */
  readonly relativeLift: number;
}

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

/** Which experts serve the same tokens; no result for top-1 routing and without rows. */
export const coactivation: StreamMeasure<
  "coactivation",
  CoactivationSummary | null,
  PairCounts,
  CoactivationSummary | null
> = {
  name: "coactivation",
  scope: "layer",
  cost: "test",
  keeps: pairCounts,
  layer: (state, { experts }) => summaryOf(coactivationOf(state, experts)),
  overview: (found) => found && { ...found, relativeLift: null },
  schema: schema((z) => {
    const expert = z.int().nonnegative();
    const pair = z.strictObject({
      a: expert,
      b: expert,
      count: z.number().meta({ description: "rows that used both" }),
      lift: z.number().meta({ description: "count / the count expected of independent experts" }),
      relativeLift: z.number().meta({ description: "lift / neutral lift; 1 is neutral" }),
    });
    const found = z.strictObject({
      neutralLift: z.number().meta({ description: "lift of all pairs together" }),
      together: z.array(pair),
      apart: z.array(pair),
      clusters: z.array(z.array(expert)),
      silhouette: z.number().nullable(),
      order: z.array(expert).meta({ description: "experts in the order of the dendrogram's leaves" }),
      relativeLift: z.array(z.array(z.number().nullable())).nullable().meta({
        description: "[expert][expert], 3 digits; null beyond 128 experts and in overviews",
      }),
    });
    return found.nullable();
  }),
  words: {
    title: "Co-activation",
    text: "Which experts of a layer serve the same tokens, and which avoid each other's.",
    uncertainty: "none; pairs with fewer than 5 expected tokens are not ranked",
    terms: {
      lift: {
        title: "Lift",
        text: "How often two experts serve the same token, against chance. Shown relative to what pairs have on average, because a token's experts always differ: above 1, they serve the same tokens more often than the usual pair.",
        formula: "P(a and b) / (P(a) P(b)) / average over pairs",
        source: "Brin et al., SIGMOD 1997",
      },
    },
  },
};

/** The pairs of a layer that differ most from the others. `null` for top-1 routing and without rows. */
function summaryOf(found: Coactivation): CoactivationSummary | null {
  const { experts, neutralLift } = found;
  if (!(neutralLift > 0)) return null;
  const pairs = rankedPairs(found);
  return {
    neutralLift,
    together: pairs.slice(0, MAX_PAIRS).filter(({ relativeLift }) => relativeLift > 1),
    apart: pairs
      .slice(-MAX_PAIRS)
      .reverse()
      .filter(({ relativeLift }) => relativeLift < 1),
    ...clustersOf(found),
    relativeLift: experts <= MAX_MATRIX ? matrix(found) : null,
  };
}

/**
 * The experts that are used, clustered by how often they serve the same tokens: the distance of two is
 * 1 / (1 + relative lift), 0 for experts that always do, 1/2 for a neutral pair, 1 for one that never meets. The tree is
 * cut where the silhouette is widest.
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
  const clusters = Array.from({ length: largest(best.cluster) + 1 }, (_, c) =>
    used.filter((_, i) => best.cluster[i] === c),
  );
  return {
    clusters: clusters.sort((a, b) => b.length - a.length || a[0]! - b[0]!),
    silhouette: Number.isFinite(best.width) ? best.width : null,
    order: [...leafOrder(merges, n).map((i) => used[i]!), ...all.filter((expert) => !used.includes(expert))],
  };
}

/** Pairs with enough rows to say something, by relative lift, greatest first. */
function rankedPairs({ counts, lift, experts, rows, neutralLift }: Coactivation): CoactivationPair[] {
  const pairs: CoactivationPair[] = [];
  for (let a = 0; a < experts; a++)
    for (let b = a + 1; b < experts; b++) {
      const expected = (counts[a * experts + a]! * counts[b * experts + b]!) / rows;
      if (expected * neutralLift < MIN_EXPECTED) continue;
      const of = lift[a * experts + b]!;
      pairs.push({ a, b, count: counts[a * experts + b]!, lift: of, relativeLift: of / neutralLift });
    }
  return pairs.sort((x, y) => y.relativeLift - x.relativeLift || y.count - x.count);
}

function matrix({ lift, experts, neutralLift }: Coactivation): (number | null)[][] {
  const digits = (value: number) => (Number.isNaN(value) ? null : Number(value.toPrecision(3)));
  return Array.from({ length: experts }, (_, a) =>
    Array.from({ length: experts }, (_, b) => digits(lift[a * experts + b]! / neutralLift)),
  );
}
