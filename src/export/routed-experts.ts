import { chosenRows, routedLayers, rowChunks } from "../analysis/rows/chosen.ts";
import type { Capture } from "../capture/capture.ts";
import { checkCapture } from "../capture/check-capture.ts";
import { RequestError } from "../core/errors.ts";
import { moeLayer } from "../core/moe-layer.ts";
import type { NpyArray } from "../formats/npy.ts";

/** Where a sample's tokens are in {@link RoutedExperts.array}. */
export interface SampleSpan {
  readonly sample: number;
  readonly label: string | null;
  readonly promptTokens: number;
  /** Rows `[from, to)`. */
  readonly from: number;
  readonly to: number;
}

/**
 * The chosen experts of every token as one array, with where each sample lies in it: what {@link routedExperts}
 * gives.
 */
export interface RoutedExperts {
  /** `[rows, layers, topK]`, `uint8` up to 256 experts, else `uint16`. */
  readonly array: NpyArray;
  readonly samples: readonly SampleSpan[];
  /** Layers whose entries are ids; those of dense layers are zeros. */
  readonly moeLayers: readonly number[];
  readonly experts: number;
}

/**
 * The chosen experts of every token in the layout of vLLM's `CompletionOutput.routed_experts` (0.32,
 * `--enable-return-routed-experts`) and SGLang's `routed_experts`, which trainers replay: `[token, layer, topK]`, all
 * layers of the model with zeros in dense ones, ids in the router's order, and of a sample the tokens `0` to
 * `length - 2`: the last token that was generated never went through the model. A prompt without continuation has all
 * its tokens. SGLang sends the same numbers as `int32` in base64.
 *
 * @throws RequestError `INVALID_ARGUMENT` when the capture holds only some positions or layers: what is missing
 * cannot be replayed.
 * @example
 * import { npyBytes, routedExperts } from "moescope";
 * const { array, samples } = routedExperts(capture);
 * console.log(array.shape, samples[0]?.to); // [tokens, layers, topK], where the first sample ends
 * const file = Buffer.concat([...npyBytes(array)]); // numpy.load(file)[0:to] is the first sample's
 */
export function routedExperts(capture: Capture): RoutedExperts {
  checkCapture("routedExperts", "the capture", capture);
  const { model, rows } = capture;
  const { experts, topK } = model.moe ?? { experts: 0, topK: 0 };
  const moeLayers = routedLayers(capture);
  const missing = model.moe?.layers.filter((layer) => !moeLayers.includes(layer)) ?? [];
  if (!model.moe || missing.length > 0)
    throw new RequestError(
      "INVALID_ARGUMENT",
      model.moe
        ? `the capture has no routing of layer ${missing[0]}: capture all layers to export routed experts`
        : `${model.name} is dense: it routes nothing`,
    );
  const other = model.moe.layers.find((layer) => moeLayer(model.moe!, layer).topK !== topK);
  if (other !== undefined)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `layer ${other} of ${model.name} uses ${moeLayer(model.moe, other).topK} experts, others ${topK}: the layout of routed ` +
        "experts has one number for all layers",
    );
  const samples = sampleSpans(capture);
  const small = experts <= 256;
  function* chunks(): Generator<ArrayBufferView> {
    for (const [from, to] of rowChunks(rows.length)) {
      const width = model.layers * topK;
      const out = new (small ? Uint8Array : Uint16Array)((to - from) * width);
      for (const layer of moeLayers) {
        const { ids } = chosenRows(capture, layer, from, to);
        for (let row = 0; row < to - from; row++)
          out.set(ids.subarray(row * topK, (row + 1) * topK), row * width + layer * topK);
      }
      yield out;
    }
  }
  const array: NpyArray = {
    type: small ? "|u1" : "<u2",
    shape: [rows.length, model.layers, topK],
    chunks: { [Symbol.iterator]: chunks },
  };
  return { array, samples, moeLayers, experts };
}

/** Rows are ordered by sample and position; each sample must begin at 0 and leave none out. */
function sampleSpans({ rows, samples }: Capture): SampleSpan[] {
  const spans: SampleSpan[] = [];
  for (let row = 0; row < rows.length; ) {
    const sample = rows.sample[row]!;
    const from = row;
    for (; row < rows.length && rows.sample[row] === sample; row++)
      if (rows.position[row] !== row - from)
        throw new RequestError(
          "INVALID_ARGUMENT",
          `the capture has no row for position ${row - from} of sample ${sample}: routed experts are replayed token ` +
            "by token, capture every row (no --select)",
        );
    spans.push({ sample, ...samples[sample]!, from, to: row });
  }
  return spans;
}
