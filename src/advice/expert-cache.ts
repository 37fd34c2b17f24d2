import { addToSequence, sequenceOf, startSequence } from "../analysis/measures/tallies/growing-sequence.ts";
import { routedLayers } from "../analysis/rows/chosen.ts";
import { talliedLayers } from "../analysis/scan/tallied-layers.ts";
import { cacheService, type ServedRequests, sumOf } from "../analysis/statistics/cache-service.ts";
import { effectiveInterval } from "../analysis/statistics/cluster-interval.ts";
import type { ExpertSequence } from "../analysis/statistics/expert-cache.ts";
import type { Capture } from "../capture/capture.ts";

/** What caches of the same size in every MoE layer would serve: parts of the experts' bytes that tokens read. */
export interface ExpertCache {
  /** Tokens and texts that were looked at. */
  readonly tokens: number;
  readonly texts: number;
  /** The least recently used leaves; texts follow each other. */
  readonly lru: number;
  /** 95 % interval, a text as one observation. */
  readonly lruInterval: readonly [low: number, high: number];
  /** LRU where each text begins with an empty cache. */
  readonly lruCold: number;
  /** The least frequently used leaves. */
  readonly lfu: number;
  /** The best possible, which knows what comes. */
  readonly belady: number;
  /** The busiest experts of each layer, never changed. */
  readonly pinned: number;
}

/**
 * What keeping `slots` experts of every layer at hand would serve, by policy. Token by token: a runtime that reads a
 * prompt in batches asks for the experts of many tokens at once.
 *
 * @param expertBytes of one expert, by layer: what a hit is worth.
 * @returns `null` where a cache of that size cannot hold the experts of a token, or there are no rows.
 * @throws RequestError `UNKNOWN_STREAM` when the capture has neither expert ids nor router logits.
 * @example
 * import { expertCache } from "moescope";
 * const sizes = [...capture.expertIds.keys()].map((layer) => ({ layer, bytes: 1 })); // all experts are as large
 * const found = expertCache(capture, 32, sizes);
 * if (found) console.log(`LRU serves ${(100 * found.lru).toFixed(1)} %, the best possible ${(100 * found.belady).toFixed(1)} %`);
 */
export function expertCache(
  capture: Capture,
  slots: number,
  expertBytes: readonly { readonly layer: number; readonly bytes: number }[],
): ExpertCache | null {
  const { experts, topK } = capture.model.moe ?? { experts: 0, topK: 0 };
  if (slots < topK || capture.rows.length === 0) return null;
  const bytesOf = new Map(expertBytes.map(({ layer, bytes }) => [layer, bytes]));
  const layers = routedLayers(capture).filter((layer) => bytesOf.has(layer));
  const served = talliedLayers(
    capture,
    layers,
    {
      start: startSequence,
      take: (state, { rows, topK: perRow, sample, ids }) =>
        addToSequence(state, { rows, perRow, sample, ids: ids.slice() }),
    },
    (state) => servedBy(sequenceOf(state, experts), slots),
  );
  const total = layers.reduce((sum, layer) => sum + bytesOf.get(layer)!, 0);
  const mean = (of: (found: Served) => number) =>
    layers.reduce((sum, layer) => sum + (bytesOf.get(layer)! / total) * of(served.get(layer)!), 0);
  const [first] = served.values();
  if (!first) return null;
  const lru = mean(({ hits, requests }) => sumOf(hits) / sumOf(requests));
  const squares = first.requests.reduce(
    (sum, requests, unit) => sum + (mean(({ hits }) => hits[unit]!) - lru * requests) ** 2,
    0,
  );
  return {
    tokens: first.tokens,
    texts: first.texts,
    lru,
    lruInterval: effectiveInterval(
      lru,
      sumOf(first.requests),
      first.texts,
      first.requests.length,
      squares,
      0.95,
    ),
    lruCold: mean(({ cold }) => cold),
    lfu: mean(({ lfu }) => lfu),
    belady: mean(({ belady }) => belady),
    pinned: mean(({ pinned }) => pinned),
  };
}

interface Served extends ServedRequests {
  readonly tokens: number;
  readonly texts: number;
  readonly requests: readonly number[];
  readonly pinned: number;
}

function servedBy(sequence: ExpertSequence, slots: number): Served {
  const { ids, tokens, experts, starts } = sequence;
  const service = cacheService(sequence);
  const counts = new Float64Array(experts);
  for (const id of ids) counts[id]!++;
  const busiest = counts.sort().subarray(experts - slots);
  return {
    ...service.of(slots),
    tokens,
    texts: starts.length,
    requests: service.requests,
    pinned: sumOf(busiest) / ids.length,
  };
}
