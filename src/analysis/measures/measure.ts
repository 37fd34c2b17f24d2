import type { z } from "zod";
import type { ModelInfo } from "../../core/model-info.ts";
import type { RowLabels } from "../../core/rows.ts";
import type { SampleInfo } from "../../core/sink.ts";
import type { StreamName } from "../../core/streams.ts";
import type { LabelGroups } from "../rows/label-groups.ts";
import type { LayerChunk } from "../rows/layer-chunk.ts";
import type { RowColumns } from "../rows/row-columns.ts";
import type { StreamReader } from "../rows/stream-reader.ts";

/**
 * A measure is one question put to rows. It is one object in one file: what it needs and keeps, what follows from that,
 * the schema of its result and its words. A line in `index.ts` registers it. There are four kinds:
 *
 * - `LayerMeasure`: looks at each layer by itself and has a result for each;
 * - `CaptureMeasure`: looks at each layer by itself and has one result for the capture;
 * - `GroupMeasure`: looks at the same rows of several layers, once or several times;
 * - `DerivedMeasure`: follows from the results of others.
 *
 * A scan passes over each layer once and feeds every tally of it. What is found in a layer crosses threads, and what a
 * tally keeps is stored and merged: both are plain data (numbers, text, arrays, typed arrays), no instances of classes.
 */
export type Measure = LayerMeasure | CaptureMeasure | GroupMeasure | DerivedMeasure;

/** A word that a measure brings, for tooltips and glossaries. */
export interface Term {
  readonly title: string;
  readonly unit?: string;
  /** What it says, in a sentence or two. */
  readonly text: string;
  readonly formula?: string;
  readonly source?: string;
}

/** What a measure says of itself to people: the report, the terminal and the explorer show it. */
export interface Words {
  readonly title: string;
  /** What the measure answers, in a sentence. */
  readonly text: string;
  /** How the result says how sure it is; `none` where it does not. */
  readonly uncertainty: string;
  /** By a key that no other measure has. */
  readonly terms: Readonly<Record<string, Term>>;
}

/**
 * What a measure costs: `count`, a few additions a row; `test`, counts that are repeated some hundred or thousand times
 * after the pass, or work that grows with experts^2 and more; `read`, more values than those of the pass.
 */
export type Cost = "count" | "test" | "read";

/** A result in a few lines, of another shape than the result. */
export interface Summary<R> {
  of(result: R): unknown;
  readonly schema: () => z.ZodType;
}

interface Described<N extends string, R> {
  /** The key of its result. */
  readonly name: N;
  readonly words: Words;
  readonly cost: Cost;
  /** Of one result. Nullable where a layer may lack what the measure needs: its result is `null` then. */
  readonly schema: () => z.ZodType<R>;
  /** The result without its large parts, for an overview of all layers; `null`: none of it. Default: all of it. */
  overview?(result: R): R | null;
  /** What `analyze --json` has of it without `--full`: nothing that grows with experts. Default: the overview. */
  readonly summary?: Summary<R>;
}

/** How much work a scan does, and how its random parts are made. */
export interface ScanSettings {
  /** Of labels between samples. */
  readonly permutations: number;
  /** Of texts, for tests within them; see `signFlips`. */
  readonly flips: number;
  readonly seed: number;
  /** Samples that are told token by token. */
  readonly texts: number;
}

/** What is known of a model's routing. */
export interface RoutingShape {
  /** Routed experts per layer. */
  readonly experts: number;
  /** Experts used per token. */
  readonly topK: number;
}

/** What is known of a run before its first row; all that a stream of batches has. */
export interface RunScope extends RoutingShape {
  readonly labels: LabelGroups;
}

/** What is known of a capture before its values are read. */
export interface ScanScope extends RunScope {
  readonly model: ModelInfo;
  readonly settings: ScanSettings;
  readonly samples: readonly SampleInfo[];
  /** Text of a token that occurs in the rows. */
  tokenText(tokenId: number): string;
}

/** A layer of a scan; `ahead` is what the tally's {@link Tally.prepare} gave. */
export interface LayerScope<A = unknown> extends ScanScope {
  readonly layer: number;
  readonly ahead: A;
}

/** A layer of a stream of batches. */
interface StreamLayer extends RoutingShape {
  readonly layer: number;
}

/** What a pass must find in a layer; `chosen`: the expert ids, or the logits that tell them. */
export type LayerNeed = "chosen" | StreamName;

/** ... or in the layer before. */
export type Need = LayerNeed | { readonly layerBefore: StreamName };

/**
 * What is kept of a layer while its rows pass. Measures that keep the same share one tally: it is fed once.
 *
 * @typeParam S what is kept. @typeParam A what is known of the rows ahead. @typeParam F what is found in it.
 */
export interface Tally<S = unknown, A = unknown, F = unknown> {
  /** A layer without one of these has no result. Other streams may be looked at where they were captured. */
  readonly needs: readonly Need[];
  /**
   * What it must know of all rows before the first value. Plain data; made once for all layers and threads. A tally
   * that needs this cannot run on a stream of batches.
   */
  prepare?(columns: RowColumns, scope: ScanScope): A;
  /** @returns `null` where there is nothing to keep: the layer then has no result. */
  start(of: LayerScope<A>): S | null;
  /** Rows come in order, those of a sample together. */
  take(state: S, chunk: LayerChunk, of: LayerScope<A>): void;
  /**
   * What follows for the layer after its last row, once for all measures: tests belong here. May read more rows.
   * Default: the state itself.
   */
  find?(state: S, of: LayerScope<A>, reader: StreamReader): F;
}

/**
 * A tally that needs to know nothing of the rows ahead and takes them in any order, so that it also runs on a stream of
 * batches, and on several machines whose states are put together.
 */
export interface StreamTally<S = unknown> {
  readonly needs: readonly LayerNeed[];
  start(of: RunScope): S;
  take(state: S, chunk: LayerChunk, of: RunScope): void;
  /** Of two runs of one model. Changes neither. */
  merge(a: S, b: S): S;
  /** The state for `JSON.stringify`. */
  toJson(state: S): unknown;
  /** Reads what {@link toJson} wrote. */
  fromJson(shape: RoutingShape): z.ZodType<S>;
}

/**
 * @typeParam N its name. @typeParam R its result. @typeParam F what its tally found. @typeParam P what it makes of that
 *   in a layer, before layers are compared. @typeParam A what its tally knew ahead.
 */
export interface LayerMeasure<N extends string = string, R = unknown, F = unknown, P = unknown, A = unknown>
  extends Described<N, R> {
  readonly scope: "layer";
  readonly keeps: AnyTally;
  /** On the thread that scanned the layer. Without {@link across} it gives the result; `null`: none. */
  layer(found: F, of: LayerScope<A>): P;
  /** Results of all layers together, in order: for corrections over all tests. `null` where a layer has none. */
  across?(parts: readonly (P | null)[], of: ScanScope): R[];
}

/** A layer measure whose tally runs on a stream of batches: usable as a reducer, see `reducer`. */
export interface StreamMeasure<N extends string = string, R = unknown, S = unknown, P = unknown>
  extends LayerMeasure<N, R, S, P> {
  readonly keeps: StreamTally<S>;
  layer(state: S, of: StreamLayer): P;
}

export interface CaptureMeasure<N extends string = string, R = unknown, F = unknown, P = unknown, A = unknown>
  extends Described<N, R> {
  readonly scope: "capture";
  readonly keeps: AnyTally;
  layer(found: F, of: LayerScope<A>): P;
  /** @param layers those that were scanned; `parts` is of the same length. */
  gather(parts: readonly (P | null)[], of: ScanScope & { readonly ahead: A }, layers: readonly number[]): R;
}

/** The same rows of all layers of a group. */
export interface GroupRows extends RowLabels {
  readonly from: number;
  readonly rows: number;
  /** Ids in a row: 1 where the measure keeps the best. */
  readonly perRow: number;
  /** By layer of the group the ids of these rows, `[rows, perRow]`, the best in front. */
  readonly experts: readonly (Uint8Array | Uint16Array)[];
}

/**
 * Looks at the same rows of several layers. A scan reads one layer after the other, so it keeps the experts of each
 * layer's rows until the layers of its groups have been read: `perRow` ids of one byte a row (two beyond 256 experts)
 * for each layer that is kept. That is what such a measure costs in memory.
 */
export interface GroupMeasure<N extends string = string, R = unknown, S = unknown, P = unknown>
  extends Described<N, R> {
  readonly scope: "layers";
  /** What is kept of a row: all its experts, or the best one. */
  readonly keeps: "chosen" | "best";
  /** How often it must see the rows. Only a measure of one pass can run on a stream of batches. */
  readonly passes: number;
  groups(layers: readonly number[], experts: number): number[][];
  start(of: RoutingShape, group: readonly number[]): S;
  take(state: S, rows: GroupRows, of: RoutingShape, pass: number): void;
  /** Between two passes. */
  next?(state: S, of: RoutingShape, pass: number): void;
  /** What was found in a group, on the thread that looked at it. */
  group(state: S, of: ScanScope): P;
  gather(parts: readonly P[], of: ScanScope): R;
}

/** A group measure of one pass that runs on a stream of batches, and on several machines. */
export interface StreamGroupMeasure<N extends string = string, R = unknown, S = unknown, P = unknown>
  extends GroupMeasure<N, R, S, P> {
  readonly passes: 1;
  /** Of two runs of one model. Changes neither. */
  merge(a: S, b: S): S;
  toJson(state: S): unknown;
  fromJson(shape: RoutingShape, group: readonly number[]): z.ZodType<S>;
  group(state: S, of: RoutingShape): P;
  gather(parts: readonly P[]): R;
}

/** Follows from the results of other measures, without any row. */
export interface DerivedMeasure<N extends string = string, R = unknown> extends Described<N, R> {
  readonly scope: "derived";
  /** Names of the layer measures whose results it needs. */
  readonly from: readonly string[];
  derive(layers: readonly DerivedInput[], of: ScanScope): R;
}

/** A layer's results by the measures' names. */
export interface DerivedInput {
  readonly layer: number;
  readonly results: Readonly<Record<string, unknown>>;
}

type AnyTally = Tally | StreamTally;
