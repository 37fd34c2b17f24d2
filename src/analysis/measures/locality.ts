import { schema } from "../../core/schema.ts";
import { cacheService, sumOf } from "../statistics/cache-service.ts";
import { effectiveInterval } from "../statistics/cluster-interval.ts";
import { type ExpertSequence, reuseIntervals, unionSize } from "../statistics/expert-cache.ts";
import type { GroupMeasure } from "./measure.ts";
import {
  addToSequence,
  type GrowingSequence,
  sequenceOf,
  startSequence,
} from "./tallies/growing-sequence.ts";

/** How near to each other in time a layer's experts are used again: what it is worth to keep some of them at hand. */
export interface LayerLocality {
  readonly layer: number;
  /** Tokens that were looked at: whole texts from the first on, until they have 8 192 tokens. */
  readonly tokens: number;
  readonly texts: number;
  readonly caches: readonly CacheHits[];
  /** By cache size from 1 on the LRU hit rate, 4 digits; 0 below top-k. Texts follow each other. */
  readonly lruCurve: readonly number[];
  /** Part of a token's experts that the token before used as well. */
  readonly repeated: number;
  /** The same where tokens use experts by chance, each as often as it is used. */
  readonly repeatedByChance: number;
  /** Tokens since the text last used the same expert; `null`: more than half of the uses are first ones. */
  readonly medianReuse: number | null;
  readonly unions: readonly ExpertUnion[];
}

/** What a cache of experts in each layer serves: parts of the requests. */
export interface CacheHits {
  /** Experts that it holds. */
  readonly size: number;
  readonly lru: number;
  /** 95 % interval of {@link lru}, a text as one observation. */
  readonly lruInterval: readonly [low: number, high: number];
  /** LRU where each text begins with an empty cache. */
  readonly lruCold: number;
  readonly lfu: number;
  /** The best possible: knows what comes. */
  readonly belady: number;
}

/** Experts that some drafted tokens use together. */
export interface ExpertUnion {
  readonly tokens: number;
  readonly experts: number;
  /** Where tokens use experts by chance, each as often as it is used. */
  readonly byChance: number;
}

interface State extends GrowingSequence {
  readonly layer: number;
}

/** Tokens that are drafted together. */
const WINDOWS = [1, 2, 4, 8, 16] as const;
const LONGEST = 4096;

/** What caches of experts would serve, by size; how soon experts are used again. */
export const locality: GroupMeasure<"locality", readonly LayerLocality[], State, LayerLocality> = {
  name: "locality",
  scope: "layers",
  cost: "test",
  keeps: "chosen",
  passes: 1,
  groups: (layers) => layers.map((layer) => [layer]),
  start: (_, [layer]) => ({ ...startSequence(), layer: layer! }),
  take: (state, { experts: [ids], ...rows }) => addToSequence(state, { ...rows, ids: ids! }),
  group: (state, { experts }) => localityOf(state.layer, sequenceOf(state, experts)),
  gather: (parts) => parts,
  schema: schema((z) => {
    const count = z.int().nonnegative();
    const share = z.number().min(0).max(1);
    return z.array(
      z.strictObject({
        layer: count,
        tokens: count.meta({ description: "looked at: whole texts, until they have 8 192 tokens" }),
        texts: count,
        caches: z.array(
          z.strictObject({
            size: count.meta({ description: "experts of the layer that it holds" }),
            lru: share.meta({ description: "part of the requests it has, the least recently used leaves" }),
            lruInterval: z.tuple([share, share]).meta({ description: "95 %, a text as one observation" }),
            lruCold: share.meta({ description: "each text begins with an empty cache" }),
            lfu: share.meta({ description: "the least frequently used leaves" }),
            belady: share.meta({ description: "the best possible: knows what comes" }),
          }),
        ),
        lruCurve: z.array(share).meta({ description: "by size from 1 on; 0 below top-k" }),
        repeated: share.meta({ description: "part of the experts that the token before used too" }),
        repeatedByChance: share,
        medianReuse: count.nullable().meta({ description: "tokens since the text last used the expert" }),
        unions: z.array(
          z.strictObject({
            tokens: count.meta({ description: "that follow each other in a text" }),
            experts: z.number().meta({ description: "that they use together, in the mean" }),
            byChance: z.number(),
          }),
        ),
      }),
    );
  }),
  words: {
    title: "Locality",
    text: "What a cache of experts in each layer would serve, by size and policy, and how soon experts are used again.",
    uncertainty:
      "95 % interval of the LRU hit rate, a text as one observation; the other figures describe these texts",
    terms: {
      hitRate: {
        title: "Hit rate",
        text: "Part of the experts that tokens ask for which a cache of so many experts of the layer has. A token's experts are asked for at once; one text follows the other, token by token, and the cache stays, but for “cold”, where each text begins with an empty one.",
        formula:
          "LRU: the least recently used leaves; LFU: the least frequently used; Belady: the one needed last",
        source: "Mattson et al., IBM Syst. J. 9, 1970; Belady, IBM Syst. J. 5, 1966",
      },
      expertUnion: {
        title: "Experts of n tokens",
        text: "How many different experts n tokens use that follow each other in a text: what checking n drafted tokens at once must load.",
      },
    },
  },
};

/** Everything of one layer. */
function localityOf(layer: number, sequence: ExpertSequence): LayerLocality {
  const { tokens, topK, experts, starts } = sequence;
  const requests = Math.max(1, tokens * topK);
  const shares = new Float64Array(experts);
  for (let i = 0; i < sequence.ids.length; i++) shares[sequence.ids[i]!]! += 1 / tokens;
  const sizes = cacheSizes(experts, topK);
  const reuse = reuseIntervals(sequence, LONGEST);
  const others = tokens - starts.length;
  return {
    layer,
    tokens,
    texts: starts.length,
    ...cacheHits(sequence, sizes),
    repeated: others > 0 ? reuse[1]! / (others * topK) : 0,
    repeatedByChance: topK === 0 ? 0 : shares.reduce((sum, share) => sum + share * share, 0) / topK,
    medianReuse: median(reuse, requests),
    unions: WINDOWS.flatMap((window) => {
      const union = unionSize(sequence, window);
      const byChance = shares.reduce((sum, share) => sum + 1 - (1 - share) ** window, 0);
      return Number.isNaN(union) ? [] : [{ tokens: window, experts: union, byChance }];
    }),
  };
}

/** From what a token needs to three quarters of all. */
const cacheSizes = (experts: number, topK: number): number[] =>
  [...new Set([topK, 2 * topK, ...[0.25, 0.5, 0.75].map((part) => Math.round(part * experts))])]
    .filter((size) => size >= topK && size <= experts)
    .sort((a, b) => a - b);

/**
 * What caches of some sizes serve of a layer's requests.
 *
 * @param sizes from topK to the number of experts.
 */
function cacheHits(
  sequence: ExpertSequence,
  sizes: readonly number[],
): Pick<LayerLocality, "caches" | "lruCurve"> {
  const { tokens, topK, starts } = sequence;
  if (tokens === 0) return { caches: [], lruCurve: [] };
  const total = tokens * topK;
  const service = cacheService(sequence);
  const { requests, distances } = service;
  return {
    caches: sizes.map((size): CacheHits => {
      const { hits, cold, lfu, belady } = service.of(size);
      const lru = sumOf(hits) / total;
      const squares = hits.reduce((sum, n, unit) => sum + (n - lru * requests[unit]!) ** 2, 0);
      const lruInterval = effectiveInterval(lru, total, starts.length, requests.length, squares, 0.95);
      return { size, lru, lruInterval, lruCold: cold, lfu, belady };
    }),
    lruCurve: curveOf(distances, topK, total),
  };
}

/** By size from 1 on; a cache below topK cannot hold a token's experts. */
function curveOf(byUnit: readonly Float64Array[], topK: number, requests: number): number[] {
  let hits = 0;
  return Array.from({ length: byUnit[0]!.length - 1 }, (_, i) => {
    for (const distances of byUnit) hits += distances[i + 1]!;
    return i + 1 < topK ? 0 : Number((hits / requests).toFixed(4));
  });
}

/** Of requests by how long ago the same was asked for; first ones are farthest. */
function median(reuse: Float64Array, requests: number): number | null {
  let below = 0;
  for (let interval = 1; interval < reuse.length; interval++) {
    below += reuse[interval]!;
    if (2 * below >= requests) return interval;
  }
  return null;
}
