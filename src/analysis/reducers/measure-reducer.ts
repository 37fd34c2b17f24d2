import { argument, thing } from "../../core/options.ts";
import type { RoutingShape, StreamGroupMeasure, StreamMeasure, StreamTally } from "../measures/measure.ts";
import { knownRuns } from "../rows/known-runs.ts";
import type { LayerChunk } from "../rows/layer-chunk.ts";
import { columnsWithin } from "../rows/row-columns.ts";
import { type Reduced, type Reducer, type ReducerSpec, reducerOf } from "./reducer.ts";

/** A measure of a corpus. */
export interface ReducedMeasure<R, S = unknown> extends RoutingShape {
  /** The measure's name. */
  readonly measure: string;
  /**
   * The measure's results: of a layer measure by 0-based layer, as `analyzeCapture` gives them; of one that looks at
   * several layers the one result, under -1.
   */
  readonly layers: ReadonlyMap<number, R>;
  /** What was kept; what `merge` puts together and `toJson` writes. */
  readonly states: ReadonlyMap<string, S>;
}

/** A spec without what the result is to look like. */
type TallySpec<S> = Omit<ReducerSpec<S, never>, "publish" | "reduced">;

/** How a tally runs on batches: a state for each layer. */
export const tallySpec = <S>(what: string, tally: StreamTally<S>): TallySpec<S> => ({
  what,
  needs: tally.needs,
  keys: (layers) => layers.map(String),
  start: (scope) => tally.start(scope),
  take: (state, key, chunks, scope) => tally.take(state, chunks.get(Number(key))!, scope),
  merge: (a, b) => tally.merge(a, b),
  toJson: (state) => tally.toJson(state),
  fromJson: (shape) => tally.fromJson(shape),
});

/** How a measure of several layers runs on batches: a state for each group. */
const groupSpec = <S>(measure: StreamGroupMeasure<string, unknown, S>): TallySpec<S> => ({
  what: measure.name,
  needs: ["chosen"],
  keys: (layers, experts) => measure.groups(layers, experts).map((group) => group.join("-")),
  start: (scope, key) => measure.start(scope, groupOf(key)),
  take(state, key, chunks, scope) {
    const parts = groupOf(key).map((layer) => chunks.get(layer)!);
    const [first] = parts;
    const { rows, topK } = first!;
    const best = measure.keeps === "best";
    const experts = parts.map((chunk) => (best ? bestOf(chunk) : chunk.bestFirst));
    const perRow = best ? 1 : topK;
    const leftOut = (row: number) => parts.some(({ unranked }) => unranked?.[row] === 1);
    for (const [from, to] of knownRuns(rows, leftOut)) {
      const known = experts.map((ids) => ids.subarray(from * perRow, to * perRow));
      const labels = columnsWithin(first!, from, to);
      measure.take(
        state,
        { from: first!.from + from, rows: to - from, perRow, experts: known, ...labels },
        scope,
        0,
      );
    }
  },
  merge: (a, b) => measure.merge(a, b),
  toJson: (state) => measure.toJson(state),
  fromJson: (shape, key) => measure.fromJson(shape, groupOf(key)),
});

const groupOf = (key: string) => key.split("-").map(Number);

const bestOf = ({ bestFirst, rows, topK }: LayerChunk) =>
  Uint16Array.from({ length: rows }, (_, row) => bestFirst[row * topK]!);

/** Of measures whose results are one for the capture. */
const WHOLE = -1;

/**
 * Any measure that can run on a stream of batches, as a reducer: `usage`, `balance`, `entropy`, `margin`, `routerLosses`,
 * the gate's two and `flows`. The others need the rows of a text together, to know all rows before the first value, or to see them more than
 * once.
 *
 * @throws RequestError `INVALID_ARGUMENT` for a measure that cannot.
 * @example
 * import { measures, reducer } from "moescope/analysis";
 * const { layers } = await llm.capture(prompts, { into: reducer(measures.balance) });
 * console.log(layers.get(3)?.maxVio);
 */
export function reducer<R, S>(
  measure: StreamMeasure<string, R, S> | StreamGroupMeasure<string, R, S>,
): Reducer<ReducedMeasure<R, S>> {
  argument("reducer", "the measure", measure, streamable);
  const reduced = ({ experts, topK, states }: ReducedMeasure<R, S>): Reduced<S> => ({
    experts,
    topK,
    states,
  });
  const publish = ({ experts, topK, states }: Reduced<S>): ReducedMeasure<R, S> => ({
    measure: measure.name,
    experts,
    topK,
    layers: resultsOf({ experts, topK, states }),
    states,
  });
  return measure.scope === "layer"
    ? reducerOf({ ...tallySpec(measure.name, measure.keeps), publish, reduced })
    : reducerOf({ ...groupSpec(measure), publish, reduced });

  function resultsOf({ experts, topK, states }: Reduced<S>): Map<number, R> {
    if (measure.scope === "layers") {
      const parts = [...states.values()].map((state) => measure.group(state, { experts, topK }));
      return new Map([[WHOLE, measure.gather(parts)]]);
    }
    return new Map(
      [...states].map(([key, state]) => {
        const layer = Number(key);
        return [layer, measure.layer(state, { experts, topK, layer }) as R];
      }),
    );
  }
}

const streamable = thing<StreamMeasure | StreamGroupMeasure>(
  "a measure that runs on a stream of batches; this one needs a capture: analyzeCapture",
  (value) => {
    const { merge, keeps } = value as { merge?: unknown; keeps?: Partial<StreamTally> };
    return typeof (merge ?? keeps?.merge) === "function";
  },
);
