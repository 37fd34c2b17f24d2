import type { z } from "zod";
import { RequestError } from "../../core/errors.ts";
import type { ModelInfo } from "../../core/model-info.ts";
import type { RowBatch } from "../../core/rows.ts";
import { schema } from "../../core/schema.ts";
import type { RunHeader, Sink } from "../../core/sink.ts";
import type { StreamName, StreamType } from "../../core/streams.ts";
import type { TensorDataTypes } from "../../core/tensor.ts";
import type { LayerNeed, RoutingShape, RunScope } from "../measures/measure.ts";
import { parseJson, wholeNumber } from "../measures/tallies/state-json.ts";
import { type LayerValues, untold } from "../rows/chosen.ts";
import { labelGroups } from "../rows/label-groups.ts";
import { LayerChunk } from "../rows/layer-chunk.ts";

/**
 * A sink that keeps a summary of the rows and not the rows: `llm.capture(prompts, { into: usageReducer() })` profiles
 * a corpus of any length. Takes one run; the other methods work on results, also those of other machines.
 */
export interface Reducer<R> extends Sink<R> {
  /**
   * The result of both runs' rows together. Their texts are different ones: intervals take each as an observation.
   *
   * @throws RequestError `INVALID_ARGUMENT` when their models have other numbers of experts.
   */
  merge(a: R, b: R): R;
  /** As plain objects and arrays, for `JSON.stringify`. */
  toJson(result: R): unknown;
  /** @throws RequestError `INVALID_ARGUMENT` naming the place that is wrong. */
  fromJson(json: unknown): R;
}

/** What was kept of a run, by key: a layer, or a group of layers. */
export interface Reduced<S> extends RoutingShape {
  readonly states: ReadonlyMap<string, S>;
}

/** What makes a reducer of a measure's tally. */
export interface ReducerSpec<S, R> {
  /** What is reduced, for messages. */
  readonly what: string;
  readonly needs: readonly LayerNeed[];
  /** The keys of the states for the layers of a run. */
  keys(layers: readonly number[], experts: number): string[];
  start(scope: RunScope, key: string): S;
  /** @param chunks of every layer of the run that has what is needed. */
  take(state: S, key: string, chunks: ReadonlyMap<number, LayerChunk>, scope: RunScope): void;
  merge(a: S, b: S): S;
  toJson(state: S): unknown;
  fromJson(shape: RoutingShape, key: string): z.ZodType<S>;
  /** What is kept as it is told. */
  publish(reduced: Reduced<S>): R;
  /** ... and back. */
  reduced(result: R): Reduced<S>;
}

/** Streams of which one is enough. */
const streamsFor = (need: LayerNeed): readonly StreamName[] =>
  need === "chosen" ? ["expert_ids", "router_logits"] : [need];

export function reducerOf<S, R>(spec: ReducerSpec<S, R>): Reducer<R> {
  let run: { header: RunHeader; scope: RunScope; layers: number[]; states: Map<string, S> };
  return {
    open(header) {
      assertRows(header);
      if (spec.needs.includes("chosen")) assertChoiceTold(header);
      const { experts, topK } = header.model.moe ?? { experts: 0, topK: 0 };
      const layers = layersWith(header, spec.needs);
      if (layers === null)
        throw new RequestError(
          "UNKNOWN_STREAM",
          `the reducer needs ${spec.needs.map((need) => streamsFor(need).join(" or ")).join(" and ")}; the run captures ` +
            header.streams.map(({ name }) => name).join(", "),
        );
      const scope = { experts, topK, labels: labelGroups(header.samples) };
      const keys = spec.keys(layers, experts);
      run = { header, scope, layers, states: new Map(keys.map((key) => [key, spec.start(scope, key)])) };
    },
    write(batch) {
      if (batch.rows === 0) return;
      const { header, scope, layers, states } = run;
      const chunks = chunksOf(batch, layers, header.model);
      for (const [key, state] of states) spec.take(state, key, chunks, scope);
    },
    close: () => spec.publish({ ...shapeOf(run.scope), states: run.states }),
    merge(a, b) {
      const [left, right] = [spec.reduced(a), spec.reduced(b)];
      if (left.experts !== right.experts)
        throw new RequestError(
          "INVALID_ARGUMENT",
          `results of models with ${left.experts} and ${right.experts} experts cannot be merged: merge runs of one model`,
        );
      const states = new Map(left.states);
      for (const [key, of] of right.states)
        states.set(key, states.has(key) ? spec.merge(states.get(key)!, of) : of);
      return spec.publish({ ...shapeOf(left), states });
    },
    toJson(result) {
      const { states, ...shape } = spec.reduced(result);
      return {
        ...shapeOf(shape),
        layers: [...states].map(([key, state]) => ({
          layer: /^\d+$/.test(key) ? Number(key) : key,
          ...(spec.toJson(state) as object),
        })),
      };
    },
    fromJson(json) {
      const { layers, ...shape } = parseJson(HEAD(), json, spec.what);
      const states = layers.map(({ layer, ...state }, i): [string, S] => [
        String(layer),
        parseJson(spec.fromJson(shape, String(layer)), state, `${spec.what} (layers.${i})`),
      ]);
      return spec.publish({ ...shape, states: new Map(states) });
    },
  };
}

/** Expert ids are 16-bit. */
const HEAD = schema((z) =>
  z.object({
    experts: wholeNumber().max(0x10000),
    topK: wholeNumber(),
    layers: z.array(z.looseObject({ layer: z.union([wholeNumber(), z.string().regex(/^\d+(-\d+)+$/)]) })),
  }),
);

const shapeOf = ({ experts, topK }: RoutingShape): RoutingShape => ({ experts, topK });

/** The layers of a run that have everything; `null` where the run captures no stream that tells one of it. */
function layersWith({ streams }: RunHeader, needs: readonly LayerNeed[]): number[] | null {
  const byNeed = needs.map((need) => streams.filter(({ name }) => streamsFor(need).includes(name)));
  if (byNeed.some(({ length }) => length === 0)) return null;
  const layers = byNeed.map((having) => new Set(having.flatMap((stream) => stream.layers)));
  return [...layers[0]!].filter((layer) => layers.every((of) => of.has(layer))).sort((a, b) => a - b);
}

/** A mean of rows chose no experts. @throws RequestError `INVALID_ARGUMENT`. */
function assertRows({ request }: RunHeader): void {
  if (request?.reduce === "mean")
    throw new RequestError(
      "INVALID_ARGUMENT",
      'the reducer counts rows, and reduce "mean" leaves none; leave reduce out: a reducer keeps no rows either',
    );
}

/**
 * Refuse a run whose rows would not tell the experts they chose, before it starts.
 *
 * @throws RequestError `INVALID_ARGUMENT`.
 */
function assertChoiceTold({ model, streams }: RunHeader): void {
  const layersOf = (stream: StreamName) => streams.find(({ name }) => name === stream)?.layers ?? [];
  const withIds = layersOf("expert_ids");
  for (const layer of layersOf("router_logits")) {
    const why = withIds.includes(layer) ? null : untold(model, layer);
    if (why !== null) throw new RequestError("INVALID_ARGUMENT", why);
  }
}

/** By batch that several reducers get, what was computed of its layers. */
const CHUNKS = new WeakMap<RowBatch, Map<number, LayerChunk>>();

/**
 * The batch for several reducers, who share what is computed of it. A new object: an engine may fill the same one again.
 */
export function sharedBatch(batch: RowBatch): RowBatch {
  const shared: RowBatch = Object.create(batch);
  CHUNKS.set(shared, new Map());
  return shared;
}

function chunksOf(
  batch: RowBatch,
  layers: readonly number[],
  model: ModelInfo,
): ReadonlyMap<number, LayerChunk> {
  const chunks = CHUNKS.get(batch) ?? new Map<number, LayerChunk>();
  for (const layer of layers)
    if (!chunks.has(layer))
      chunks.set(layer, new LayerChunk(model, layer, 0, batch.rows, batch, valuesOf(batch, layer)));
  return chunks;
}

/** A layer's values in a batch. */
export const valuesOf =
  (batch: RowBatch, layer: number): LayerValues =>
  <S extends StreamName>(stream: S) =>
    (batch.streams.get(stream)?.get(layer) ?? null) as TensorDataTypes[StreamType<S>] | null;
