import { valuesOf } from "../../analysis/reducers/reducer.ts";
import { choiceLayers, chosenIn, type LayerValues } from "../../analysis/rows/chosen.ts";
import { rowEntropy } from "../../analysis/statistics/row-entropy.ts";
import { PHASES, type RowBatch } from "../../core/rows.ts";
import type { RunHeader } from "../../core/sink.ts";
import type { StreamName } from "../../core/streams.ts";
import { tensor } from "../../core/tensor.ts";
import type { TokenEvent } from "./schemas.ts";

/** Tokens in one event: with 48 layers of 8 experts about 100 KB. */
const MAX_TOKENS = 16;

/** The layers whose routing a run tells. */
export function watchedLayers({ model, streams }: RunHeader): number[] {
  const of = (stream: StreamName) => streams.find(({ name }) => name === stream)?.layers ?? [];
  return model.moe ? choiceLayers(model, of("expert_ids"), of("router_logits")) : [];
}

/** The rows of a batch with their routing, a few at a time: each is a millisecond's work at most. */
export function* tokenEvents(header: RunHeader, batch: RowBatch): Generator<TokenEvent[]> {
  const four = (value: number) => Number(value.toPrecision(4));
  for (let from = 0; from < batch.rows; from += MAX_TOKENS) {
    const to = Math.min(batch.rows, from + MAX_TOKENS);
    const routing = watchedLayers(header).map((layer) => layerRouting(header, batch, layer, from, to));
    yield Array.from({ length: to - from }, (_, i) => ({
      sample: batch.sample[from + i]!,
      position: batch.position[from + i]!,
      tokenId: batch.tokenId[from + i]!,
      text: header.tokenText(batch.tokenId[from + i]!),
      phase: PHASES[batch.phase[from + i]!]!,
      experts: routing.map(({ ids, topK }) => [...ids.subarray(i * topK, (i + 1) * topK)]),
      weights: routing.map(({ weights, topK }) =>
        weights ? Array.from(weights.subarray(i * topK, (i + 1) * topK), four) : [],
      ),
      entropy: routing.map(({ entropy }) => (entropy ? four(entropy[i]!) : null)),
    }));
  }
}

/** What is known of rows `[from, to)` in one layer. */
function layerRouting({ model }: RunHeader, batch: RowBatch, layer: number, from: number, to: number) {
  const whole = valuesOf(batch, layer);
  const values = ((stream) => {
    const data = whole(stream);
    const width = data ? data.length / batch.rows : 0;
    return data?.subarray(from * width, to * width);
  }) as LayerValues;
  const { ids, weights } = chosenIn(model, layer, values);
  const logits = values("router_logits");
  const rows = to - from;
  return {
    ids,
    weights,
    topK: ids.length / rows,
    entropy: logits && rowEntropy(tensor("float32", [rows, logits.length / rows], logits)),
  };
}
