import { largest } from "../../core/extremes.ts";
import { schema } from "../../core/schema.ts";
import { averageLinkage, cutTree, leafOrder, silhouette } from "../statistics/average-linkage.ts";
import { type Candidate, contenders, falseDiscovery, findingsOf } from "../statistics/false-discovery.ts";
import { ALPHA } from "../statistics/randomization/least-q.ts";
import type { LayerMeasure } from "./measure.ts";
import type { Coactivation } from "./tallies/pair-counts.ts";
import { type TextPairs, testLift, textPairs } from "./tallies/text-pairs.ts";

/** Experts of one layer that serve the same tokens. */
export interface CoactivationSummary {
  /** Pairs that serve the same tokens more often than chance, q <= 0.05, by the lower end of their interval. */
  readonly together: readonly CoactivationPair[];
  /** Pairs that do so more rarely, by the upper end. */
  readonly apart: readonly CoactivationPair[];
  /** Pairs of this layer that were tested: those that chance would give 5 rows or more. */
  readonly testedPairs: number;
  /** Texts, each of which is one observation ... */
  readonly texts: number;
  /** ... and the least that can tell. With fewer no pair is tested. */
  readonly textsNeeded: number;
  /** Groups of experts that serve the same tokens; average linkage, cut where the silhouette is widest. */
  readonly clusters: readonly (readonly number[])[];
  /** Mean silhouette width of these clusters, -1 to 1; below 0.25 there is no structure to speak of. */
  readonly silhouette: number | null;
  /** The experts in the order of the dendrogram's leaves, dead ones last: a map in this order shows blocks. */
  readonly order: readonly number[];
  /**
   * `[expert][expert]` of the lift, 3 digits; `null` where undefined. Left out (`null`) beyond 128 experts, and in
   * overviews.
   */
  readonly lift: readonly (readonly (number | null)[])[] | null;
}

/** Two experts of a layer, and how often they serve the same token. */
export interface CoactivationPair {
  readonly a: number;
  readonly b: number;
  /** Rows that used both. */
  readonly count: number;
  /** Rows that would, if each row drew its experts independently, each expert as often as it is used. */
  readonly expected: number;
  /** count / expected: 1 is neutral. */
  readonly lift: number;
  /** Its 95 % interval, a text as one observation. */
  readonly interval: readonly [number, number];
  /** Corrected for all tested pairs of all layers. */
  readonly qValue: number;
}

/** Pairs listed each way. */
const MAX_PAIRS = 20;
/**
 * Pairs that chance gives fewer rows of are not tested: Cochran's rule for expected counts (Biometrics 10, 1954).
 */
const MIN_EXPECTED = 5;
/** With fewer texts a spread between them is not known well enough; see the calibration in docs/analysis.md. */
const MIN_TEXTS = 10;
/** Beyond this many experts the whole matrix is left to `coactivation`: 512 experts are a quarter of a million numbers. */
const MAX_MATRIX = 128;

/** More clusters than this are no summary. */
const MAX_CLUSTERS = 12;

/** What a layer keeps until all are tested. */
interface LayerPairs {
  readonly summary: Omit<CoactivationSummary, "together" | "apart">;
  readonly pValues: Float64Array;
  readonly together: readonly PairCandidate[];
  readonly apart: readonly PairCandidate[];
}

type PairCandidate = Candidate & Omit<CoactivationPair, "qValue">;

/** Which experts serve the same tokens; no result for top-1 routing and without rows. */
export const coactivation: LayerMeasure<
  "coactivation",
  CoactivationSummary | null,
  TextPairs,
  LayerPairs | null,
  undefined
> = {
  name: "coactivation",
  scope: "layer",
  cost: "test",
  keeps: textPairs,
  layer: pairsOf,
  across(parts) {
    const tested = parts.flatMap((part) => (part ? [part.pValues] : []));
    const q = falseDiscovery(
      tested,
      tested.reduce((sum, { length }) => sum + length, 0),
    );
    const listed = (of: readonly PairCandidate[]): CoactivationPair[] =>
      findingsOf(of, q, ALPHA, MAX_PAIRS).map(({ a, b, count, expected, lift, interval, qValue }) => ({
        ...{ a, b, count, expected, lift, interval, qValue },
      }));
    return parts.map(
      (part) => part && { together: listed(part.together), apart: listed(part.apart), ...part.summary },
    );
  },
  overview: (found) => found && { ...found, lift: null },
  schema: schema((z) => {
    const count = z.int().nonnegative();
    const pair = z.strictObject({
      a: count,
      b: count,
      count: z.number().meta({ description: "rows that used both" }),
      expected: z.number().meta({ description: "rows that would if experts were drawn independently" }),
      lift: z.number().meta({ description: "count / expected; 1 is neutral" }),
      interval: z
        .tuple([z.number(), z.number()])
        .meta({ description: "95 % interval of the lift, a text as one observation" }),
      qValue: z.number().meta({ description: "corrected for all tested pairs of all layers" }),
    });
    const found = z.strictObject({
      together: z.array(pair).meta({ description: "more often than chance, q <= 0.05" }),
      apart: z.array(pair).meta({ description: "more rarely than chance, q <= 0.05" }),
      testedPairs: count.meta({ description: "pairs that chance would give 5 rows or more" }),
      texts: count,
      textsNeeded: count.meta({ description: "with fewer texts no pair is tested" }),
      clusters: z.array(z.array(count)),
      silhouette: z.number().nullable(),
      order: z.array(count).meta({ description: "experts in the order of the dendrogram's leaves" }),
      lift: z.array(z.array(z.number().nullable())).nullable().meta({
        description: "[expert][expert], 3 digits; null beyond 128 experts and in overviews",
      }),
    });
    return found.nullable();
  }),
  words: {
    title: "Co-activation",
    text: "Which experts of a layer serve the same tokens, and which avoid each other's.",
    uncertainty:
      "q-values over all pairs of all layers (Benjamini and Hochberg) and 95 % intervals of the lift, a text as one observation; pairs that chance gives fewer than 5 tokens, and captures of fewer than 10 texts, are not tested",
    terms: {
      lift: {
        title: "Lift",
        text: "How often two experts serve the same token, over how often they would if every token drew its different experts independently, each expert as often as it is used. 1 is neutral, whatever the usage.",
        formula: "tokens of both / tokens expected of a conditional Bernoulli draw",
        source: "Chen, Dempster and Liu, Biometrika 81, 1994",
      },
    },
  },
};

/** What a layer's pairs show. `null` for top-1 routing and without rows. */
function pairsOf(found: TextPairs): LayerPairs | null {
  const { experts, expected, texts } = found;
  if (!expected.some((rows, i) => rows > 0 && i % experts !== Math.floor(i / experts))) return null;
  const tested = texts < MIN_TEXTS ? [] : testedPairs(found);
  const likely = tested.filter(({ pValue }) => pValue <= ALPHA);
  const ends = (more: boolean) =>
    likely
      .filter(({ lift }) => lift > 1 === more)
      .map((pair) => ({ ...pair, strength: more ? pair.interval[0] : -pair.interval[1] }));
  return {
    summary: {
      testedPairs: tested.length,
      texts,
      textsNeeded: MIN_TEXTS,
      ...clustersOf(found),
      lift: experts <= MAX_MATRIX ? matrix(found) : null,
    },
    pValues: Float64Array.from(tested, ({ pValue }) => pValue),
    together: contenders(ends(true), MAX_PAIRS),
    apart: contenders(ends(false), MAX_PAIRS),
  };
}

/** Pairs that chance gives enough rows. */
function testedPairs({ counts, expected, lift, experts, evenTexts, standardError }: TextPairs) {
  const pairs: Omit<PairCandidate, "strength">[] = [];
  for (let a = 0; a < experts; a++)
    for (let b = a + 1; b < experts; b++) {
      const at = a * experts + b;
      if (!(expected[at]! >= MIN_EXPECTED)) continue;
      pairs.push({
        ...{ a, b, count: counts[at]!, expected: expected[at]!, lift: lift[at]! },
        ...testLift(lift[at]!, standardError(a, b), evenTexts),
      });
    }
  return pairs;
}

/**
 * The experts that are used, clustered by how often they serve the same tokens: the distance of two is
 * 1 / (1 + lift), 0 for experts that always do, 1/2 for a neutral pair, 1 for one that never meets. The tree is
 * cut where the silhouette is widest.
 */
function clustersOf({ experts, counts, lift }: Coactivation) {
  const all = Array.from({ length: experts }, (_, expert) => expert);
  const used = all.filter((expert) => counts[expert * experts + expert]! > 0);
  const n = used.length;
  const distances = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++)
      if (i !== j) distances[i * n + j] = 1 / (1 + lift[used[i]! * experts + used[j]!]!);
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

function matrix({ lift, experts }: Coactivation): (number | null)[][] {
  const digits = (value: number) => (Number.isNaN(value) ? null : Number(value.toPrecision(3)));
  return Array.from({ length: experts }, (_, a) =>
    Array.from({ length: experts }, (_, b) => digits(lift[a * experts + b]!)),
  );
}
