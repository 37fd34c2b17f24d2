import type { ModelInfo } from "../../core/model-info.ts";
import type { LayerScope, Measure, Need, ScanScope, StreamTally, Tally } from "../measures/measure.ts";
import { talliesOf } from "../measures/registry.ts";
import { untold } from "../rows/chosen.ts";
import { unknownExpert } from "../rows/known-runs.ts";
import { type LayerChunk, layerChunks } from "../rows/layer-chunk.ts";
import type { RowColumns } from "../rows/row-columns.ts";
import type { StreamReader } from "../rows/stream-reader.ts";

/** What a scan works on, and for which measures. */
export interface ScanWork {
  readonly measures: readonly Measure[];
  readonly scope: ScanScope;
  readonly columns: RowColumns;
  readonly reader: StreamReader;
  /** What the tallies know of the rows ahead; see {@link prepared}. */
  readonly ahead: ReadonlyMap<Tally | StreamTally, unknown>;
}

/** What each tally of some measures must know ahead, computed once for all layers and threads. */
export function prepared(measures: readonly Measure[], columns: RowColumns, scope: ScanScope) {
  return new Map(
    talliesOf(measures).map((tally) => [
      tally,
      "prepare" in tally ? tally.prepare!(columns, scope) : undefined,
    ]),
  );
}

/** Experts of a layer's rows, `[rows, perRow]`. */
export type IdColumn = Uint8Array | Uint16Array;

/** Where the experts of a scanned layer are to be kept for measures of several layers. */
export interface KeptIds {
  readonly chosen: IdColumn | null;
  readonly best: IdColumn | null;
}

/** By name, what each measure of layers made of a layer; `null`: the layer has not what it needs. */
export type LayerParts = Readonly<Record<string, unknown>>;

/**
 * Pass over a layer once: every value is read once and given to all tallies, then each measure makes what follows.
 *
 * @throws as `chosenIn`.
 */
export function scanLayer(work: ScanWork, layer: number, kept: KeptIds): LayerParts {
  const { measures, scope, columns, reader, ahead } = work;
  const running = talliesOf(measures)
    .filter(({ needs }) => needs.every((need) => hasNeed(reader, scope.model, layer, need)))
    .map((tally) => {
      const of: LayerScope = { ...scope, layer, ahead: ahead.get(tally) };
      return { tally, of, state: (tally as Tally).start(of) };
    })
    .filter(({ state }) => state !== null);
  for (const chunk of layerChunks(reader, scope.model, columns, layer)) {
    for (const { tally, of, state } of running) (tally as Tally).take(state, chunk, of);
    keep(kept, chunk);
  }
  const found = new Map(
    running.map(({ tally, of, state }) => [
      tally,
      { of, value: "find" in tally ? (tally as Tally).find!(state, of, reader) : state },
    ]),
  );
  return Object.fromEntries(
    measures.flatMap((measure) => {
      if (measure.scope !== "layer" && measure.scope !== "capture") return [];
      const of = found.get(measure.keeps);
      return [[measure.name, of ? measure.layer(of.value, of.of) : null]];
    }),
  );
}

function keep({ chosen, best }: KeptIds, chunk: LayerChunk): void {
  if (!chosen && !best) return;
  const { from, rows, bestFirst, topK, unranked } = chunk;
  chosen?.set(bestFirst, from * topK);
  if (best) for (let row = 0; row < rows; row++) best[from + row] = bestFirst[row * topK]!;
  unranked?.forEach((isUnranked, row) => {
    if (isUnranked === 0) return;
    chosen?.fill(unknownExpert(chosen), (from + row) * topK, (from + row + 1) * topK);
    best?.fill(unknownExpert(best), from + row, from + row + 1);
  });
}

function hasNeed(reader: StreamReader, model: ModelInfo, layer: number, need: Need): boolean {
  if (typeof need !== "string") return layer > 0 && reader.has(need.layerBefore, layer - 1);
  if (need === "chosen")
    return (
      reader.has("expert_ids", layer) || (reader.has("router_logits", layer) && untold(model, layer) === null)
    );
  return reader.has(need, layer);
}
