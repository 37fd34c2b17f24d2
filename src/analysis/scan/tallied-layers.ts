import type { Capture } from "../../capture/capture.ts";
import type { RunScope, StreamTally } from "../measures/measure.ts";
import { labelGroups } from "../rows/label-groups.ts";
import { layerChunks } from "../rows/layer-chunk.ts";
import { columnsOf } from "../rows/row-columns.ts";
import { readerOf } from "../rows/stream-reader.ts";
import { allAtOnce, type Steps } from "./steps.ts";

/**
 * What follows from one tally of some layers of a capture, for functions that ask for nothing else. In the calling
 * thread, a layer after the other.
 *
 * @param found what is to be remembered of a layer's tally; only one tally is in memory at a time.
 * @throws as `chosenIn`.
 */
export function talliedLayers<S, F>(
  capture: Capture,
  layers: readonly number[],
  tally: Pick<StreamTally<S>, "start" | "take">,
  found: (state: S) => F,
): Map<number, F> {
  return allAtOnce(eachTallied(capture, layers, tally, found));
}

/** {@link talliedLayers}, a layer a step. */
export function* eachTallied<S, F>(
  capture: Capture,
  layers: readonly number[],
  { start, take }: Pick<StreamTally<S>, "start" | "take">,
  found: (state: S) => F,
): Steps<Map<number, F>> {
  const made = new Map<number, F>();
  const { moe } = capture.model;
  if (!moe) return made;
  const scope: RunScope = { experts: moe.experts, topK: moe.topK, labels: labelGroups(capture.samples) };
  const columns = columnsOf(capture);
  const reader = readerOf(capture);
  for (const layer of layers) {
    const state = start(scope);
    for (const chunk of layerChunks(reader, capture.model, columns, layer)) take(state, chunk, scope);
    made.set(layer, found(state));
    yield { done: made.size, total: layers.length };
  }
  return made;
}
