import type { Capture } from "../../capture/capture.ts";
import type { StreamName, StreamType } from "../../capture/streams.ts";
import { type TensorDataTypes, tensor } from "../../capture/tensor.ts";
import type { MoeInfo } from "../../engines/engine.ts";
import { CaptureError } from "../../errors.ts";
import { route } from "../../routing/route.ts";

/** Rows read at a time: 8 MB of logits with 512 experts, so a capture of any length passes through a little memory. */
export const CHUNK_ROWS = 4096;

/** The chosen experts of rows `[from, from + rows)`. */
export interface ChosenRows {
  readonly from: number;
  readonly rows: number;
  /** `[rows, topK]`, row-major. */
  readonly ids: Uint16Array;
  /** Their mixing weights, `[rows, topK]`; `null` when the ids were captured without them. */
  readonly weights: Float32Array | null;
}

/** Row ranges that cover `[0, rows)`. */
export function* rowChunks(rows: number): Generator<[from: number, to: number]> {
  for (let from = 0; from < rows; from += CHUNK_ROWS) yield [from, Math.min(rows, from + CHUNK_ROWS)];
}

/** The layers of a capture whose chosen experts are known: captured, or computable from the logits. */
export function routedLayers(capture: Capture): number[] {
  const layers = new Set<number>();
  for (const stream of ["expert_ids", "router_logits"] as const)
    if (capture.streams.includes(stream))
      for (const layer of capture.stream(stream).keys()) layers.add(layer);
  // Neither stream: let the capture say what it has.
  if (layers.size === 0 && !capture.streams.includes("router_logits")) capture.stream("expert_ids");
  return [...layers].sort((a, b) => a - b);
}

/** A layer's values in some rows, by stream; `null` for a stream that was not captured there. */
export type LayerValues = <S extends StreamName>(stream: S) => TensorDataTypes[StreamType<S>] | null;

/**
 * The experts chosen in some rows of a layer: the captured `expert_ids`, else what the model's own gating rule makes
 * of the captured router logits.
 *
 * @throws RequestError `INVALID_ARGUMENT` when there are only logits and the choice also took a learned bias, which
 *   no capture holds; CaptureError `CAPTURE_INVALID` for an id that is no expert's.
 */
export function chosenIn(
  { experts, topK, gating }: MoeInfo,
  layer: number,
  values: LayerValues,
): Pick<ChosenRows, "ids" | "weights"> {
  const ids = values("expert_ids");
  if (ids) {
    checkIds(ids, experts, layer);
    return { ids, weights: values("expert_weights") };
  }
  const logits = values("router_logits")!;
  const routing = route(tensor("float32", [logits.length / experts, experts], logits), gating, topK);
  return { ids: routing.ids.data, weights: routing.weights.data };
}

/** The experts chosen in one layer, chunk by chunk; see {@link chosenRows}. */
export function* chosenExperts(capture: Capture, layer: number): Generator<ChosenRows> {
  if (!capture.model.moe) return;
  for (const [from, to] of rowChunks(capture.rows.length)) yield chosenRows(capture, layer, from, to);
}

/**
 * The experts chosen in rows `[from, to)` of an MoE layer of a capture.
 *
 * @throws as {@link chosenIn}.
 */
export function chosenRows(capture: Capture, layer: number, from: number, to: number): ChosenRows {
  const values: LayerValues = (stream) =>
    hasStream(capture, stream, layer) ? capture.stream(stream).rows(layer, from, to).data : null;
  return { from, rows: to - from, ...chosenIn(capture.model.moe!, layer, values) };
}

/** Whether a capture tells which experts were chosen, in some layer or other. */
export const hasRouting = ({ streams }: Pick<Capture, "streams">): boolean =>
  streams.includes("expert_ids") || streams.includes("router_logits");

export const hasStream = (capture: Capture, stream: StreamName, layer: number) =>
  capture.streams.includes(stream) && capture.stream(stream).has(layer);

/** Ids index into counters; those of a damaged folder must not fall beside them unnoticed. */
function checkIds(ids: Uint16Array, experts: number, layer: number): void {
  let most = 0;
  for (let i = 0; i < ids.length; i++) if (ids[i]! > most) most = ids[i]!;
  if (most >= experts)
    throw new CaptureError(
      "CAPTURE_INVALID",
      `layer ${layer} of the capture names expert ${most}; the model has experts 0 to ${experts - 1}`,
    );
}
