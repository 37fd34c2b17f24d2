import type { Capture } from "../../capture/capture.ts";
import type { RunScope, StreamTally } from "../measures/measure.ts";
import { labelGroups } from "../rows/label-groups.ts";
import { layerChunks } from "../rows/layer-chunk.ts";
import { columnsOf } from "../rows/row-columns.ts";
import { readerOf } from "../rows/stream-reader.ts";

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
  { start, take }: Pick<StreamTally<S>, "start" | "take">,
  found: (state: S) => F,
): Map<number, F> {
  const { moe } = capture.model;
  if (!moe) return new Map();
  const scope: RunScope = { experts: moe.experts, topK: moe.topK, labels: labelGroups(capture.samples) };
  const columns = columnsOf(capture);
  const reader = readerOf(capture);
  return new Map(
    layers.map((layer) => {
      const state = start(scope);
      for (const chunk of layerChunks(reader, capture.model, columns, layer)) take(state, chunk, scope);
      return [layer, found(state)];
    }),
  );
}
