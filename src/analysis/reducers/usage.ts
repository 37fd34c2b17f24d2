import { schema } from "../../schema.ts";
import {
  addCounts,
  type ExpertUsage,
  groupByLabel,
  type LayerUsage,
  layerUsage,
  type UsageCounts,
  UsageTally,
  usageOf,
} from "../expert-usage.ts";
import { chosenIn } from "../scan/chosen.ts";
import { amounts, parseJson, wholeNumber } from "./json.ts";
import { assertSameExperts, layerReducer, mergeLayers, type Reducer } from "./reducer.ts";

/**
 * Counts how often each expert is used, per layer and label, as `expertUsage` does for a capture. Holds 16 bytes per
 * layer, label and expert: 100 KB for 48 layers of 128 experts, and that again for every label.
 *
 * @example
 * const usage = await llm.capture(prompts, { into: usageReducer() });
 * console.log(usage.layers.get(3)?.counts);
 */
export function usageReducer(): Reducer<ExpertUsage> {
  return layerReducer<LayerUsage, ExpertUsage>({
    streams: ["expert_ids", "router_logits"],
    tallies: ({ model, samples }) => {
      const groups = groupByLabel(samples);
      return (layer) => {
        const tally = new UsageTally(model.moe!.experts, groups);
        return {
          add: (values, { sample }) => tally.add(chosenIn(model.moe!, layer, values), sample),
          result: () => tally.result(),
        };
      };
    },
    result: (layers, { model }) => usageOf(model.moe, layers),
    merge: mergeUsage,
    toJson: ({ experts, topK, layers }) => ({
      experts,
      topK,
      layers: [...layers].map(([layer, { byLabel }]) => ({
        layer,
        byLabel: [...byLabel].map(([label, { rows, counts, weights }]) => ({
          label,
          rows,
          counts: [...counts],
          weights: weights && [...weights],
        })),
      })),
    }),
    fromJson: (json) => {
      const { experts, topK } = parseJson(HEAD(), json, WHAT);
      const { layers } = parseJson(layersOf(experts), json, WHAT);
      const usage = layers.map(({ layer, byLabel }): [number, LayerUsage] => [
        layer,
        layerUsage(
          new Map(byLabel.map(({ label, ...counts }): [string | null, UsageCounts] => [label, counts])),
          experts,
        ),
      ]);
      return usageOf({ experts, topK }, new Map(usage));
    },
  });
}

const WHAT = "usage";

/** Expert ids are 16-bit. */
const HEAD = schema((z) => z.object({ experts: wholeNumber().max(0x10000), topK: wholeNumber() }));

const layersOf = (experts: number) =>
  schema((z) =>
    z.object({
      layers: z.array(
        z.object({
          layer: wholeNumber(),
          byLabel: z.array(
            z.object({
              label: z.string().nullable(),
              rows: wholeNumber(),
              counts: amounts(experts),
              weights: amounts(experts).nullable(),
            }),
          ),
        }),
      ),
    }),
  )();

function mergeUsage(a: ExpertUsage, b: ExpertUsage): ExpertUsage {
  assertSameExperts(a.experts, b.experts);
  const join = (x: LayerUsage, y: LayerUsage) =>
    layerUsage(mergeLayers(x.byLabel, y.byLabel, addCounts), a.experts);
  return usageOf(a, mergeLayers(a.layers, b.layers, join));
}
