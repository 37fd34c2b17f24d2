import type { ExpertParallelPlacement } from "../../advice/expert-parallel.ts";
import type { ModelInfo } from "../../core/model-info.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { modelFacts } from "./model.ts";

const FORMAT = "moescope.rank-placement/1";

/** Where experts go under expert parallelism: what `eplb --json` prints and the terminal shows. */
export const rankPlacementFacts = schema((z) => {
  const count = z.int().nonnegative();
  return z.strictObject({
    format: z.literal(FORMAT),
    model: modelFacts(),
    layout: z.strictObject({ replicas: count, ranks: count, nodes: count, groups: count }),
    rows: count.meta({ description: "that the usage was counted on" }),
    layers: z.array(count).meta({ description: "MoE layers, in the order of the maps" }),
    imbalance: z
      .array(
        z.strictObject({
          layer: count,
          inOrder: z.number().nullable().meta({ description: "experts in their order, no replicas" }),
          placed: z.number(),
        }),
      )
      .meta({ description: "load of the busiest rank over the mean" }),
    physical_to_logical_map: z
      .array(z.array(count))
      .meta({ description: "[layer][place]: its expert; place p is on rank floor(p / (replicas / ranks))" }),
    logical_to_physical_map: z
      .array(z.array(z.array(z.int())))
      .meta({ description: "[layer][expert]: its places, -1 for none" }),
    expert_count: z.array(z.array(count)).meta({ description: "[layer][expert]: places" }),
  });
});
export type RankPlacementFacts = Parsed<typeof rankPlacementFacts>;

export const rankPlacementOf = (model: ModelInfo, found: ExpertParallelPlacement): RankPlacementFacts => ({
  format: FORMAT,
  model,
  layout: found.layout,
  rows: found.rows,
  layers: [...found.layers],
  imbalance: [...found.imbalance],
  physical_to_logical_map: found.physicalToLogical.map((places) => [...places]),
  logical_to_physical_map: found.logicalToPhysical.map((experts) => experts.map((places) => [...places])),
  expert_count: found.replicaCounts.map((counts) => [...counts]),
});

/**
 * What SGLang reads as `--init-expert-location map.json`: this key and no other, and a row for every layer of the
 * model. Layers without experts have theirs in order.
 */
export const sglangLocation = ({
  model,
  layout,
  layers,
  physical_to_logical_map,
}: RankPlacementFacts): { physical_to_logical_map: readonly (readonly number[])[] } => ({
  physical_to_logical_map: Array.from({ length: model.layers }, (_, layer) => {
    const at = layers.indexOf(layer);
    const inOrder = () => Array.from({ length: layout.replicas }, (_, place) => place % model.moe!.experts);
    return at < 0 ? inOrder() : physical_to_logical_map[at]!;
  }),
});
