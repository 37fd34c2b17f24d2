import { schema } from "../../schema.ts";
import { type Coactivation, coactivationOf, PairTally } from "../coactivation.ts";
import { chosenIn } from "../scan/chosen.ts";
import { amounts, parseJson, wholeNumber } from "./json.ts";
import { assertSameExperts, layerReducer, mergeLayers, type Reducer } from "./reducer.ts";

/**
 * Co-activation of experts per layer, as `coactivation` gives it for a capture. Holds 8 bytes per layer and pair:
 * 6 MB for 48 layers of 128 experts, 126 MB for 60 layers of 512.
 */
export function coactivationReducer(): Reducer<ReadonlyMap<number, Coactivation>> {
  return layerReducer<Coactivation, ReadonlyMap<number, Coactivation>>({
    streams: ["expert_ids", "router_logits"],
    tallies:
      ({ model }) =>
      (layer) => {
        const tally = new PairTally(model.moe!.experts);
        return {
          add: (values, { rows }) => tally.add(chosenIn(model.moe!, layer, values).ids, rows),
          result: () => tally.result(),
        };
      },
    result: (layers) => layers,
    merge: (a, b) => mergeLayers(a, b, join),
    toJson: (layers) =>
      [...layers].map(([layer, { rows, experts, counts }]) => ({
        layer,
        rows,
        experts,
        counts: [...counts],
      })),
    fromJson: (json) =>
      new Map(
        parseJson(HEADS(), json, WHAT).map(({ layer, rows, experts, counts }, i) => [
          layer,
          coactivationOf(
            parseJson(amounts(experts * experts), counts, `${WHAT} (${i}.counts)`),
            experts,
            rows,
          ),
        ]),
      ),
  });
}

const WHAT = "co-activation";

const HEADS = schema((z) =>
  z.array(
    z.object({
      layer: wholeNumber(),
      rows: wholeNumber(),
      experts: wholeNumber(),
      counts: z.array(z.number()),
    }),
  ),
);

function join(a: Coactivation, b: Coactivation): Coactivation {
  assertSameExperts(a.experts, b.experts);
  const counts = a.counts.map((count, i) => count + b.counts[i]!);
  return coactivationOf(counts, a.experts, a.rows + b.rows);
}
