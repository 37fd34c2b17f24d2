import { tensor } from "../../capture/tensor.ts";
import { schema } from "../../schema.ts";
import { MeanTally, type RowMean, rowEntropy } from "../statistics/row-entropy.ts";
import { parseJson, wholeNumber } from "./json.ts";
import { layerReducer, mergeLayers, type Reducer } from "./reducer.ts";

/**
 * Mean routing entropy per layer in nats, as `routingEntropy` gives it for a capture, with the rows it is the mean of.
 * Needs `router_logits`. Holds two numbers a layer.
 */
export function entropyReducer(): Reducer<ReadonlyMap<number, RowMean>> {
  return layerReducer<RowMean, ReadonlyMap<number, RowMean>>({
    streams: ["router_logits"],
    tallies: () => () => {
      const tally = new MeanTally();
      return {
        add: (values, { rows }) => {
          const logits = values("router_logits")!;
          tally.add(rowEntropy(tensor("float32", [rows, logits.length / rows], logits)));
        },
        result: () => tally.result(),
      };
    },
    result: (layers) => layers,
    merge: (a, b) => mergeLayers(a, b, joinMeans),
    // JSON has no NaN, the mean of no rows.
    toJson: (layers) =>
      [...layers].map(([layer, { rows, mean }]) => ({ layer, rows, mean: rows === 0 ? null : mean })),
    fromJson: (json) =>
      new Map(
        parseJson(SCHEMA(), json, "entropy").map(({ layer, rows, mean }) => [
          layer,
          { rows, mean: mean ?? Number.NaN },
        ]),
      ),
  });
}

const SCHEMA = schema((z) =>
  z.array(z.object({ layer: wholeNumber(), rows: wholeNumber(), mean: z.number().nullable() })),
);

function joinMeans(a: RowMean, b: RowMean): RowMean {
  if (a.rows === 0) return b;
  if (b.rows === 0) return a;
  const rows = a.rows + b.rows;
  return { rows, mean: (a.mean * a.rows + b.mean * b.rows) / rows };
}
