import type { RowBatch } from "../../capture/rows.ts";
import type { RunHeader, Sink } from "../../capture/sink.ts";
import type { StreamName, StreamType } from "../../capture/streams.ts";
import type { TensorDataTypes } from "../../capture/tensor.ts";
import { RequestError } from "../../errors.ts";
import type { LayerValues } from "../scan/chosen.ts";

/**
 * A sink that keeps a summary of the rows and not the rows: `llm.capture(prompts, { into: usageReducer() })` profiles
 * a corpus of any length. Takes one run; the other methods work on results, also those of other machines.
 */
export interface Reducer<R> extends Sink<R> {
  /**
   * The result of both runs' rows together.
   *
   * @throws RequestError `INVALID_ARGUMENT` when their models have other numbers of experts.
   */
  merge(a: R, b: R): R;
  /** As plain objects and arrays, for `JSON.stringify`. */
  toJson(result: R): unknown;
  /** @throws RequestError `INVALID_ARGUMENT` naming the place that is wrong. */
  fromJson(json: unknown): R;
}

/** Takes the rows of one layer. */
interface LayerTally<L> {
  add(values: LayerValues, batch: RowBatch): void;
  result(): L;
}

/** What makes a reducer that looks at each layer by itself. */
interface LayerReducerSpec<L, R> extends Pick<Reducer<R>, "merge" | "toJson" | "fromJson"> {
  /** Layers that have one of these are reduced. */
  readonly streams: readonly StreamName[];
  /** What makes a tally for a layer of the run. */
  readonly tallies: (header: RunHeader) => (layer: number) => LayerTally<L>;
  readonly result: (layers: Map<number, L>, header: RunHeader) => R;
}

export function layerReducer<L, R>(spec: LayerReducerSpec<L, R>): Reducer<R> {
  let header: RunHeader;
  let tallies: [layer: number, tally: LayerTally<L>][];
  return {
    merge: spec.merge,
    toJson: spec.toJson,
    fromJson: spec.fromJson,
    open(opened) {
      const having = opened.streams.filter(({ name }) => spec.streams.includes(name));
      if (having.length === 0)
        throw new RequestError(
          "UNKNOWN_STREAM",
          `the reducer needs ${spec.streams.join(" or ")}; the run captures ` +
            opened.streams.map(({ name }) => name).join(", "),
        );
      header = opened;
      const make = spec.tallies(opened);
      const layers = [...new Set(having.flatMap((stream) => stream.layers))].sort((a, b) => a - b);
      tallies = layers.map((layer) => [layer, make(layer)]);
    },
    write(batch) {
      if (batch.rows === 0) return;
      for (const [layer, tally] of tallies) tally.add(valuesOf(batch, layer), batch);
    },
    close: () => spec.result(new Map(tallies.map(([layer, tally]) => [layer, tally.result()])), header),
  };
}

/** A layer's values in a batch. */
export const valuesOf =
  (batch: RowBatch, layer: number): LayerValues =>
  <S extends StreamName>(stream: S) =>
    (batch.streams.get(stream)?.get(layer) ?? null) as TensorDataTypes[StreamType<S>] | null;

/** Two maps by layer as one; a layer that both have is joined. */
export function mergeLayers<K, L>(
  a: ReadonlyMap<K, L>,
  b: ReadonlyMap<K, L>,
  join: (a: L, b: L) => L,
): Map<K, L> {
  const merged = new Map(a);
  for (const [layer, of] of b) merged.set(layer, merged.has(layer) ? join(merged.get(layer)!, of) : of);
  return merged;
}

export function assertSameExperts(a: number, b: number): void {
  if (a !== b)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `results of models with ${a} and ${b} experts cannot be merged: merge runs of one model`,
    );
}
