import type { ModelPlacement } from "../../advice/advise-placement.ts";
import type { ExpertCache } from "../../advice/expert-cache.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { finite } from "./finite.ts";
import { modelFacts } from "./model.ts";

const FORMAT = "moescope.placement/1";

const placement = schema((z) =>
  z.strictObject({
    onGpu: z
      .array(z.int().nonnegative())
      .meta({ description: "layers whose experts lie in the GPU's memory" }),
    bytes: z.number(),
    choiceShare: z.number(),
    trafficShare: z.number(),
    arguments: z.array(z.string()).meta({ description: "llama.cpp's" }),
  }),
);

/** Where a model's experts go: what `place --json` prints and the terminal shows. */
export const placementFacts = schema((z) => {
  const count = z.int().nonnegative();
  const bytes = z.number().nonnegative();
  return z.strictObject({
    format: z.literal(FORMAT),
    model: modelFacts(),
    contextSize: count,
    budget: z
      .strictObject({ vram: bytes, weights: bytes, cache: bytes, compute: bytes, experts: bytes })
      .meta({ description: "bytes" }),
    gpuLayers: count.nullable().meta({ description: "as --n-gpu-layers counts them; null: all" }),
    lastLayers: placement(),
    bestFit: placement().nullable(),
    sameSize: z.boolean(),
    rows: count.meta({ description: "that the profile was measured on" }),
    singleExperts: z.number().nullable().meta({ description: "null where nothing was measured" }),
    expertBytes: z
      .array(z.strictObject({ layer: count, bytes }))
      .meta({ description: "bytes of one expert" }),
    cacheSlots: count.meta({ description: "experts of every layer that the same memory could hold" }),
    cache: z
      .strictObject({
        tokens: count,
        texts: count,
        lru: z.number().meta({ description: "part of the experts' bytes that an LRU cache has" }),
        lruInterval: z
          .tuple([z.number(), z.number()])
          .meta({ description: "95 %, a text as one observation" }),
        lruCold: z.number().meta({ description: "each text begins with an empty cache" }),
        lfu: z.number(),
        belady: z.number().meta({ description: "the best possible: knows what comes" }),
        pinned: z.number().meta({ description: "the busiest of each layer, never changed" }),
      })
      .nullable()
      .meta({ description: "what caches of so many experts would serve; null without a capture folder" }),
  });
});
export type PlacementFacts = Parsed<typeof placementFacts>;

/** @param cache `null` where the order of the tokens is not known. */
export function placementOf(
  { lastLayers, bestFit, expertBytes, ...rest }: ModelPlacement,
  cache: ExpertCache | null,
): PlacementFacts {
  const copied = ({ onGpu, arguments: args, ...of }: ModelPlacement["lastLayers"]) => ({
    onGpu: [...onGpu],
    ...of,
    arguments: [...args],
  });
  return {
    format: FORMAT,
    ...rest,
    singleExperts: finite(rest.singleExperts),
    lastLayers: copied(lastLayers),
    bestFit: bestFit && copied(bestFit),
    expertBytes: [...expertBytes],
    cache: cache && { ...cache, lruInterval: [...cache.lruInterval] },
  };
}
