import type { Capture } from "../../capture/capture.ts";
import { type Tensor, tensor } from "../../capture/tensor.ts";
import { type ChosenRows, chosenIn, hasStream, type LayerValues, rowChunks } from "./chosen.ts";

/** Some rows of one layer with everything that tells how they were routed. */
export interface LayerChunk extends ChosenRows {
  readonly topK: number;
  /** `[rows, experts]`; `null` when they were not captured. */
  readonly logits: Tensor<"float32"> | null;
}

/**
 * One MoE layer of a capture from its first row to its last, a few thousand rows at a time, each value read once.
 *
 * @throws as `chosenIn`.
 */
export function* layerChunks(capture: Capture, layer: number): Generator<LayerChunk> {
  const moe = capture.model.moe!;
  for (const [from, to] of rowChunks(capture.rows.length)) {
    const logits = hasStream(capture, "router_logits", layer)
      ? capture.routerLogits.rows(layer, from, to).data
      : null;
    const values = ((stream) => {
      if (stream === "router_logits") return logits;
      return hasStream(capture, stream, layer) ? capture.stream(stream).rows(layer, from, to).data : null;
    }) as LayerValues;
    const rows = to - from;
    const chosen = chosenIn(moe, layer, values);
    yield {
      from,
      rows,
      ...chosen,
      topK: chosen.ids.length / rows,
      logits: logits && tensor("float32", [rows, logits.length / rows], logits),
    };
  }
}
