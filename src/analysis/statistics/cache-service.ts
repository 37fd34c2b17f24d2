import { CLUSTER_UNITS } from "./cluster-interval.ts";
import { beladyHits, type ExpertSequence, lfuHits, stackDistances } from "./expert-cache.ts";

/** What a cache of experts serves of the requests of a layer, by size and policy. */
export interface CacheService {
  /** By unit of texts all requests. */
  readonly requests: readonly number[];
  /** Stack distances by unit, `[experts + 1]` each; texts follow each other. See {@link stackDistances}. */
  readonly distances: readonly Float64Array[];
  of(size: number): ServedRequests;
}

/** hits: of the LRU, by unit. Of the others the part of all requests. */
export interface ServedRequests {
  readonly hits: readonly number[];
  readonly cold: number;
  readonly lfu: number;
  readonly belady: number;
}

/** @param sequence has a text. */
export function cacheService(sequence: ExpertSequence): CacheService {
  const { ids, experts, starts } = sequence;
  const units = Math.min(CLUSTER_UNITS, starts.length);
  const width = experts + 1;
  const warm = stackDistances(
    sequence,
    starts.map((_, text) => text % units),
    units,
    false,
  );
  const cold = stackDistances(
    sequence,
    starts.map(() => 0),
    1,
    true,
  );
  const distances = Array.from({ length: units }, (_, unit) =>
    warm.subarray(unit * width, (unit + 1) * width),
  );
  const within = (of: Float64Array, size: number) => sumOf(of.subarray(1, size + 1));
  return {
    distances,
    requests: distances.map(sumOf),
    of: (size) => ({
      hits: distances.map((of) => within(of, size)),
      cold: within(cold, size) / ids.length,
      lfu: lfuHits(sequence, size) / ids.length,
      belady: beladyHits(sequence, size) / ids.length,
    }),
  };
}

export const sumOf = (values: Float64Array | readonly number[]): number => {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
};
