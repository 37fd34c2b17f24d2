import type { Capture } from "../../capture/capture.ts";
import { CaptureError, RequestError } from "../../core/errors.ts";
import { rowsNotFinite } from "../../core/finite-rows.ts";
import type { ModelInfo } from "../../core/model-info.ts";
import { moeLayer } from "../../core/moe-layer.ts";
import type { StreamName, StreamType } from "../../core/streams.ts";
import { type TensorDataTypes, tensor } from "../../core/tensor.ts";
import { route } from "../../gating/route.ts";

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

/**
 * The layers of a capture whose chosen experts are known: captured, or computable from the logits.
 *
 * @throws RequestError `UNKNOWN_STREAM` when the capture has neither stream, `INVALID_ARGUMENT` when it has only logits
 *   and no layer's tell the experts.
 */
export function routedLayers(capture: Capture): number[] {
  const layers = layersWithChoice(capture);
  if (layers.length > 0) return layers;
  if (capture.reduce === "mean")
    throw new RequestError(
      "INVALID_ARGUMENT",
      "this capture holds the mean of each sample's rows, which chose no experts; capture the rows themselves",
    );
  // Neither stream: let the capture say what it has.
  if (!capture.streams.includes("router_logits")) capture.stream("expert_ids");
  const [layer] = capture.stream("router_logits").keys();
  const why = layer === undefined ? null : untold(capture.model, layer);
  if (why !== null) throw new RequestError("INVALID_ARGUMENT", why);
  return layers;
}

/** As {@link routedLayers}, and none where they are not known. */
export function layersWithChoice(capture: Capture): number[] {
  if (capture.reduce === "mean") return [];
  const of = (stream: StreamName) =>
    capture.streams.includes(stream) ? [...capture.stream(stream).keys()] : [];
  return choiceLayers(capture.model, of("expert_ids"), of("router_logits"));
}

/** Of layers with ids and layers with logits, those whose chosen experts are known; ascending. */
export function choiceLayers(
  model: ModelInfo,
  withIds: readonly number[],
  withLogits: readonly number[],
): number[] {
  const told = withLogits.filter((layer) => untold(model, layer) === null);
  return [...new Set([...withIds, ...told])].sort((a, b) => a - b);
}

/** Why the logits of a layer do not tell the experts it chose, as a sentence; `null`: they do. */
export function untold({ architecture, moe }: ModelInfo, layer: number): string | null {
  const { gating } = moeLayer(moe!, layer);
  const because =
    gating === null
      ? `how ${architecture} chooses them is not known`
      : gating.chosenBy === "token_id"
        ? "they are looked up by token"
        : gating.selectionBias
          ? "a learned bias takes part in the choice, which no capture holds"
          : null;
  return (
    because &&
    `router logits do not tell the experts of layer ${layer}: ${because}; capture expert_ids as well`
  );
}

/** A layer's values in some rows, by stream; `null` for a stream that was not captured there. */
export type LayerValues = <S extends StreamName>(stream: S) => TensorDataTypes[StreamType<S>] | null;

/**
 * The experts chosen in some rows of a layer: the captured `expert_ids`, else what the model's own gating rule makes
 * of the captured router logits.
 *
 * @throws RequestError `INVALID_ARGUMENT` when there are only logits and they do not tell the experts (the rule is not
 *   known, or a learned bias takes part, which no capture holds); CaptureError `CAPTURE_INVALID` for an id that is no
 *   expert's, and for logits that are no finite numbers, from which no choice follows.
 */
export function chosenIn(
  model: ModelInfo,
  layer: number,
  values: LayerValues,
): Pick<ChosenRows, "ids" | "weights"> {
  const { experts, topK, gating } = moeLayer(model.moe!, layer);
  const ids = values("expert_ids");
  if (ids) {
    checkIds(ids, experts, layer);
    return { ids, weights: values("expert_weights") };
  }
  const why = untold(model, layer);
  if (why !== null) throw new RequestError("INVALID_ARGUMENT", why);
  const logits = values("router_logits")!;
  checkLogits(logits, experts, layer);
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
  return { from, rows: to - from, ...chosenIn(capture.model, layer, values) };
}

/** Whether a capture tells which experts were chosen, in some layer or other; a dense model's has none to tell. */
export const hasRouting = (capture: Capture): boolean =>
  capture.model.moe === null
    ? capture.streams.includes("expert_ids") || capture.streams.includes("router_logits")
    : layersWithChoice(capture).length > 0;

export const hasStream = (capture: Capture, stream: StreamName, layer: number) =>
  capture.streams.includes(stream) && capture.stream(stream).has(layer);

/** Of NaN and infinities no rule makes a choice that means something. */
function checkLogits(logits: Float32Array, experts: number, layer: number): void {
  const broken = rowsNotFinite(logits, experts);
  if (broken)
    throw new CaptureError(
      "CAPTURE_INVALID",
      `layer ${layer}: router logits of ${broken.reduce((sum, n) => sum + n, 0)} of ${broken.length} rows are not finite, so they do not tell ` +
        "the experts; capture expert_ids as well, or leave these samples out with capture.only()",
    );
}

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
