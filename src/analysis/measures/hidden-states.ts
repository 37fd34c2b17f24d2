import type { Capture } from "../../capture/capture.ts";
import type { HiddenRelation } from "../layer-analysis.ts";
import { type SampleSpan, someSpans } from "../rows/sample-spans.ts";
import { chosenRows, hasStream } from "../scan/chosen.ts";
import { seededRandom, shuffle } from "../statistics/randomization/random.ts";
import { ExpertCentroids } from "./tallies/expert-centroids.ts";
import { LinearProbeTally } from "./tallies/linear-probe.ts";

/** Rows looked at: the classifier's accuracy changes little beyond, and its time grows with rows x dimensions^2. */
const MAX_ROWS = 20_000;
/** Part of the samples that are held out. */
const HELD_OUT = 0.25;
/** With fewer samples a held-out part tells nothing of other texts. */
const MIN_SAMPLES = 8;
/** Values of hidden states read at a time: 8 MB. */
const READ_VALUES = 2 ** 21;

/**
 * How a layer's choice relates to the hidden state of the layer before it, from at most {@link MAX_ROWS} rows of
 * samples spread over the capture. `null` when that state was not captured, as for the first layer.
 */
export function hiddenRelation(
  capture: Capture,
  layer: number,
  spans: readonly SampleSpan[],
  seed: number,
): HiddenRelation | null {
  const stateOf = layer - 1;
  if (stateOf < 0 || !hasStream(capture, "hidden_states", stateOf)) return null;
  const some = someSpans(spans, MAX_ROWS);
  const width = capture.hiddenStates.width(stateOf);
  const { experts } = capture.model.moe!;
  const centroids = new ExpertCentroids(experts, width);
  if (some.length < MIN_SAMPLES) {
    forEachState(capture, layer, stateOf, some, (state, ids) => centroids.add(state, ids));
    return { stateOf, probe: null, ...centroids.result() };
  }
  const { fitted, tested } = heldOut(some, seed);
  const probe = new LinearProbeTally(width, experts, seed);
  const { tokenId } = capture.rows;
  forEachState(capture, layer, stateOf, fitted, (state, ids, row) => {
    centroids.add(state, ids);
    probe.fitOn(state, ids[0]!, tokenId[row]!);
  });
  const test = probe.fit();
  forEachState(capture, layer, stateOf, tested, (state, ids, row) => {
    centroids.add(state, ids);
    test.add(state, ids[0]!, tokenId[row]!);
  });
  return { stateOf, probe: test.result(), ...centroids.result() };
}

/** A random part of the samples, the same for the same seed. */
function heldOut(spans: readonly SampleSpan[], seed: number) {
  const order = Int32Array.from(spans, (_, i) => i);
  shuffle(order, seededRandom(seed));
  const out = new Set(order.subarray(0, Math.round(spans.length * HELD_OUT)));
  return {
    fitted: spans.filter((_, i) => !out.has(i)),
    tested: spans.filter((_, i) => out.has(i)),
  };
}

function forEachState(
  capture: Capture,
  layer: number,
  stateOf: number,
  spans: readonly SampleSpan[],
  visit: (state: Float32Array, ids: Uint16Array, row: number) => void,
): void {
  const width = capture.hiddenStates.width(stateOf);
  const step = Math.max(1, Math.floor(READ_VALUES / width));
  for (const span of spans)
    for (let from = span.from; from < span.to; from += step) {
      const to = Math.min(span.to, from + step);
      const { data } = capture.hiddenStates.rows(stateOf, from, to);
      const { ids } = chosenRows(capture, layer, from, to);
      const topK = ids.length / (to - from);
      for (let row = 0; row < to - from; row++)
        visit(
          data.subarray(row * width, (row + 1) * width),
          ids.subarray(row * topK, (row + 1) * topK),
          from + row,
        );
    }
}
