import type { ModelPlacement } from "../../advice/advise-placement.ts";
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
  });
});
export type PlacementFacts = Parsed<typeof placementFacts>;

export function placementOf({ lastLayers, bestFit, ...rest }: ModelPlacement): PlacementFacts {
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
  };
}
