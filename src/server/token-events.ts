import { chosenIn } from "../analysis/chosen.ts";
import { rowEntropy } from "../analysis/entropy.ts";
import { PHASES, type RowBatch } from "../capture/rows.ts";
import type { RunHeader } from "../capture/sink.ts";
import { tensor } from "../capture/tensor.ts";
import { valuesOf } from "../reducers/reducer.ts";
import type { TokenEvent } from "./api/jobs.ts";

/** Tokens in one event: with 48 layers of 8 experts about 100 KB. */
const MAX_TOKENS = 16;

/** The layers whose routing a run tells. */
export function watchedLayers({ streams }: RunHeader): number[] {
  const routed = streams.filter(({ name }) => name === "expert_ids" || name === "router_logits");
  return [...new Set(routed.flatMap(({ layers }) => layers))].sort((a, b) => a - b);
}

/** The rows of a batch with their routing, a few at a time. */
export function* tokenEvents(header: RunHeader, batch: RowBatch): Generator<TokenEvent[]> {
  const routing = watchedLayers(header).map((layer) => layerRouting(header, batch, layer));
  const four = (value: number) => Number(value.toPrecision(4));
  for (let from = 0; from < batch.rows; from += MAX_TOKENS) {
    const rows = Array.from({ length: Math.min(MAX_TOKENS, batch.rows - from) }, (_, i) => from + i);
    yield rows.map((row) => ({
      sample: batch.sample[row]!,
      position: batch.position[row]!,
      tokenId: batch.tokenId[row]!,
      text: header.tokenText(batch.tokenId[row]!),
      phase: PHASES[batch.phase[row]!]!,
      experts: routing.map(({ ids, topK }) => [...ids.subarray(row * topK, (row + 1) * topK)]),
      weights: routing.map(({ weights, topK }) =>
        weights ? Array.from(weights.subarray(row * topK, (row + 1) * topK), four) : [],
      ),
      entropy: routing.map(({ entropy }) => (entropy ? four(entropy[row]!) : null)),
    }));
  }
}

function layerRouting({ model }: RunHeader, batch: RowBatch, layer: number) {
  const values = valuesOf(batch, layer);
  const { ids, weights } = chosenIn(model.moe!, layer, values);
  const logits = values("router_logits");
  return {
    ids,
    weights,
    topK: ids.length / batch.rows,
    entropy: logits && rowEntropy(tensor("float32", [batch.rows, logits.length / batch.rows], logits)),
  };
}
