import type { LayerLocality } from "../../analysis/measures/locality.ts";
import type { NextExperts } from "../../analysis/measures/next-experts.ts";
import { largest, smallest } from "../../core/extremes.ts";
import type { CaptureAnalysis } from "./analysis.ts";

/** A figure over all layers: its mean, and from which layer's to which it reaches. */
export interface OverLayers {
  readonly mean: number;
  readonly least: number;
  readonly most: number;
}

/** Locality over the layers of an analysis, as terminal and report show it; the layers themselves are in `--json`. */
export interface LocalitySummary {
  readonly tokens: number;
  readonly texts: number;
  readonly caches: readonly {
    readonly size: number;
    readonly lru: OverLayers;
    readonly lruCold: number;
    readonly lfu: number;
    readonly belady: number;
  }[];
  readonly repeated: number;
  readonly repeatedByChance: number;
  readonly unions: readonly {
    readonly tokens: number;
    readonly experts: number;
    readonly byChance: number;
  }[];
  readonly recalls: readonly {
    readonly predicted: number;
    readonly recall: OverLayers;
    readonly byPopularity: number;
  }[];
}

/** `null` where no layer was looked at. */
export function localitySummary({
  locality,
  nextExperts,
}: Pick<CaptureAnalysis, "locality" | "nextExperts">): LocalitySummary | null {
  const [first] = locality;
  if (!first || first.tokens === 0) return null;
  const over = (of: (layer: LayerLocality) => number | undefined) => overAll(locality, of);
  const [pair] = nextExperts;
  return {
    tokens: first.tokens,
    texts: first.texts,
    caches: first.caches.map(({ size }) => {
      const at = (layer: LayerLocality) => layer.caches.find((cache) => cache.size === size);
      return {
        size,
        lru: over((layer) => at(layer)?.lru),
        lruCold: over((layer) => at(layer)?.lruCold).mean,
        lfu: over((layer) => at(layer)?.lfu).mean,
        belady: over((layer) => at(layer)?.belady).mean,
      };
    }),
    repeated: over(({ repeated }) => repeated).mean,
    repeatedByChance: over(({ repeatedByChance }) => repeatedByChance).mean,
    unions: first.unions.map(({ tokens }) => {
      const at = (layer: LayerLocality) => layer.unions.find((union) => union.tokens === tokens);
      return {
        tokens,
        experts: over((layer) => at(layer)?.experts).mean,
        byChance: over((layer) => at(layer)?.byChance).mean,
      };
    }),
    recalls: (pair?.recalls ?? []).map(({ predicted }) => {
      const at = (of: NextExperts) => of.recalls.find((recall) => recall.predicted === predicted);
      return {
        predicted,
        recall: overAll(nextExperts, (of) => at(of)?.recall),
        byPopularity: overAll(nextExperts, (of) => at(of)?.byPopularity).mean,
      };
    }),
  };
}

function overAll<T>(all: readonly T[], of: (one: T) => number | undefined): OverLayers {
  const values = all.map(of).filter((value) => value !== undefined);
  return {
    mean: values.reduce((sum, value) => sum + value, 0) / values.length,
    least: smallest(values),
    most: largest(values),
  };
}
