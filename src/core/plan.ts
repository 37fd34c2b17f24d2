import { RequestError } from "./errors.ts";
import type { ModelInfo } from "./model-info.ts";
import { moeLayer } from "./moe-layer.ts";
import { type ResolvedSelection, type RowSelection, resolveSelection } from "./row-selection.ts";
import type { RefusedLayer, RowShape, RowShapes } from "./row-shapes.ts";
import { DEFAULT_STREAMS, parseStreams, type StreamName, streamSpec } from "./streams.ts";

export const REDUCTIONS = ["all", "last", "mean"] as const;
/**
 * What becomes of the rows of a sample that are selected: all are kept, the last one, or their mean.
 *
 * @useDeclaredType
 */
export type Reduction = (typeof REDUCTIONS)[number];

/** What a user may ask of a capture, before it meets a model. */
export interface PlanOptions {
  /** Default: router logits, expert ids and expert weights. None: the rows' labels and the outputs only. */
  readonly streams?: readonly (StreamName | (string & {}))[];
  /** 0-based layers; negative ones count from the last. Default: every layer that has the stream. */
  readonly layers?: readonly number[];
  readonly select?: RowSelection;
  /**
   * One row a sample instead of all that are selected: the `last` of them, or their `mean` over positions, value by value.
   * The engine does it, so that a long corpus takes no more memory than its samples. A mean has position and token id -1.
   * Default `all`.
   */
  readonly reduce?: Reduction;
  /** Keep at most so many rows of the run, in the order they are computed; `Capture.dropped` counts the others. Default: all. */
  readonly maxRows?: number;
  readonly attention?: AttentionOptions;
}

/** How much of the stream `attention` to keep. For the last n queries see {@link RowSelection.last}. */
export interface AttentionOptions {
  /**
   * Keep the n largest weights of each head, falling, and their positions in the stream `attention_keys`. Default:
   * the weights of all positions, which takes a row as long as the longest sample of the run.
   */
  readonly topKeys?: number;
}

/** A stream in a plan: its layers, and the sizes of its rows. */
export interface PlannedStream {
  readonly name: StreamName;
  readonly layers: readonly number[];
  /**
   * By layer the sizes of the axes behind `rows`, slowest first. Absent where there is one axis, whose size is that
   * of the values.
   */
  readonly dims?: readonly (readonly number[])[];
}

/** What is known of a run when it is planned, beside the model. */
export interface PlanContext {
  /** Layers and sizes of the streams that the engine tells; of others the model's description does. */
  readonly shapes: RowShapes;
  /** Tokens of the longest sample, prompt and continuation: a row of attention has a weight for each. */
  readonly keys: number;
}

/** What an engine has to deliver: per stream the layers, and which rows. Plain data: it crosses threads. */
export interface Plan {
  readonly streams: readonly PlannedStream[];
  /** See {@link AttentionOptions}; `null`: all keys. */
  readonly topKeys: number | null;
  readonly select: ResolvedSelection;
  /** `last` is a matter of {@link select}. Absent: all rows are kept. */
  readonly reduce?: Exclude<Reduction, "all">;
}

/**
 * Resolve what was asked for against a model.
 *
 * A dense model keeps its router streams with no layers: they come back as empty Maps. So do streams that no layer
 * has.
 *
 * @throws RequestError `UNKNOWN_STREAM`, `UNKNOWN_LAYER` or `INVALID_ARGUMENT`, naming what the model has, or what of
 * it cannot be shown to be the stream.
 */
export function planFor(
  model: ModelInfo,
  options: PlanOptions = {},
  context: PlanContext = { shapes: new Map(), keys: 0 },
): Plan {
  const topKeys = checkTopKeys(options.attention);
  const names = plannedStreams(options);
  const moeLayers = model.moe?.layers ?? [];
  const all = Array.from({ length: model.layers }, (_, layer) => layer);
  const wanted = options.layers && resolveLayers(options.layers, model.layers);
  const streams = names.map((name) => {
    const { toldBy, routed, axes } = streamSpec(name);
    const shapes = context.shapes.get(name);
    const described = toldBy === "engine" ? [] : routed ? moeLayers : all;
    const having = shapes ? [...shapes.keys()] : described;
    const layers = wanted ? having.filter((layer) => wanted.has(layer)) : [...having];
    assertProven(name, layers, shapes);
    if (toldBy === "model" && axes.length === 1) return { name, layers };
    const keys = Math.min(topKeys ?? Number.POSITIVE_INFINITY, context.keys);
    const dims = layers.map((layer) => {
      const sizes = { keys, ...sizesOf(model, layer) };
      return ((shapes?.get(layer) as RowShape | undefined) ?? axes).map((size) =>
        typeof size === "number" ? size : sizes[size as keyof typeof sizes],
      );
    });
    const ranks = new Set(dims.map(({ length }) => length));
    if (ranks.size > 1)
      throw new RequestError(
        "INVALID_ARGUMENT",
        `${name} has other axes in some layers than in others; name layers that are alike, e.g. layers: [${layers[0]}]`,
      );
    return { name, layers, dims };
  });
  // Only layers that none of the streams has are a mistake; [0, 5] with hidden states and logits is not.
  const orphan = [...(wanted ?? [])].find((layer) => !streams.some((s) => s.layers.includes(layer)));
  if (orphan !== undefined && model.moe && names.length > 0)
    throw new RequestError(
      "UNKNOWN_LAYER",
      names.every((name) => streamSpec(name).toldBy === "model")
        ? `layer ${orphan} is dense and has none of ${names.join(", ")}; the MoE layers are ${ranges(moeLayers)}`
        : `layer ${orphan} has none of ${names.join(", ")}; ${havingOf(names, context.shapes)}`,
    );
  const { reduce = "all" } = options;
  if (reduce === "mean") assertMeans(names, topKeys);
  return { streams, topKeys, select: selectionOf(options), ...(reduce !== "all" && { reduce }) };
}

/**
 * Which rows options keep; to reduce them to the last one is to select it.
 *
 * @throws RequestError `INVALID_ARGUMENT`.
 */
export function selectionOf({
  select = {},
  reduce,
}: Pick<PlanOptions, "select" | "reduce">): ResolvedSelection {
  return resolveSelection(reduce === "last" ? { ...select, last: 1 } : select);
}

/**
 * The streams that options name, in the order of the registry; top keys bring their positions along.
 *
 * @throws RequestError `UNKNOWN_STREAM` or `INVALID_ARGUMENT`.
 */
export function plannedStreams({ streams = DEFAULT_STREAMS, attention }: PlanOptions): StreamName[] {
  const names = parseStreams(streams);
  const top = attention?.topKeys !== undefined;
  if (names.includes("attention_keys") && !top)
    throw new RequestError(
      "INVALID_ARGUMENT",
      "attention_keys are the positions of the largest weights: say how many with attention: { topKeys: 8 }",
    );
  if (top && !names.includes("attention"))
    throw new RequestError(
      "INVALID_ARGUMENT",
      "attention.topKeys narrows the stream attention: name it in streams",
    );
  return top ? parseStreams([...names, "attention_keys"]) : names;
}

/** Sizes of the axes that a model's description tells, in one layer. */
function sizesOf(
  { hiddenSize, moe }: ModelInfo,
  layer: number,
): { experts: number; top_k: number; hidden: number } {
  const { experts, topK } = moe?.layers.includes(layer) ? moeLayer(moe, layer) : { experts: 0, topK: 0 };
  return { experts, top_k: topK, hidden: hiddenSize };
}

/** Sizes of the axes behind `rows` of a stream in one layer, as a model's description tells them; 0: it does not. */
export function describedDims(model: ModelInfo, name: StreamName, layer: number): number[] {
  const sizes: Record<string, number> = sizesOf(model, layer);
  return streamSpec(name).axes.map((axis) => sizes[axis] ?? 0);
}

function checkTopKeys({ topKeys }: AttentionOptions = {}): number | null {
  if (topKeys !== undefined && !(Number.isInteger(topKeys) && topKeys > 0))
    throw new RequestError(
      "INVALID_ARGUMENT",
      `attention.topKeys must be a positive whole number, got ${topKeys}`,
    );
  return topKeys ?? null;
}

/** @throws RequestError `UNKNOWN_STREAM` if one of the layers is refused. */
function assertProven(
  name: StreamName,
  layers: readonly number[],
  shapes: ReadonlyMap<number, RowShape | RefusedLayer> | undefined,
): void {
  const refusedOf = (layer: number) => {
    const shape = shapes?.get(layer);
    return shape && "refused" in shape ? shape.refused : null;
  };
  const refused = layers.filter((layer) => refusedOf(layer) !== null);
  if (refused.length === 0) return;
  const reasons = [...new Set(refused.map(refusedOf))].map((reason) => {
    const of = refused.filter((layer) => refusedOf(layer) === reason);
    return `layer${of.length > 1 ? "s" : ""} ${ranges(of)}: ${reason}`;
  });
  const left = [...shapes!.keys()].filter((layer) => refusedOf(layer) === null);
  throw new RequestError(
    "UNKNOWN_STREAM",
    `${name} cannot be captured here, as its values would not be certain. ${reasons.join("; ")}. ` +
      (left.length > 0
        ? `Name other layers (${ranges(left)} have it) or leave the stream out`
        : "Leave the stream out"),
  );
}

/** Which layers have the streams that the engine tells of. */
function havingOf(names: readonly StreamName[], shapes: RowShapes): string {
  const told = names.filter((name) => shapes.has(name));
  return told
    .map(
      (name) =>
        `${name} is in ${shapes.get(name)!.size > 0 ? `layers ${ranges([...shapes.get(name)!.keys()])}` : "no layer"}`,
    )
    .join(", ");
}

/** @throws RequestError `UNKNOWN_LAYER`. */
export function resolveLayers(layers: readonly number[], count: number): Set<number> {
  return new Set(
    layers.map((layer) => {
      const index = layer < 0 ? count + layer : layer;
      if (!Number.isInteger(index) || index < 0 || index >= count)
        throw new RequestError(
          "UNKNOWN_LAYER",
          `unknown layer ${layer}; the model has layers 0 to ${count - 1}`,
        );
      return index;
    }),
  );
}

/** @throws RequestError `INVALID_ARGUMENT` naming streams that have no mean. */
function assertMeans(names: readonly StreamName[], topKeys: number | null): void {
  // By rank, the experts are others in each row; so are the keys of the largest weights.
  const ranked = names.filter(
    (name) => streamSpec(name).axes.includes("top_k") || (topKeys !== null && name.startsWith("attention")),
  );
  if (ranked.length === 0) return;
  const left = names.filter((name) => !ranked.includes(name));
  throw new RequestError(
    "INVALID_ARGUMENT",
    `reduce "mean" has no meaning for ${ranked.join(", ")}, whose values belong to other experts or keys in each row; ` +
      `name streams without them, e.g. streams: ${JSON.stringify(left.length > 0 ? left : ["router_logits"])}`,
  );
}

/** `[0, 1, 2, 5]` as `0-2, 5`. */
export function ranges(numbers: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < numbers.length; ) {
    let end = i;
    while (numbers[end + 1] === numbers[end]! + 1) end++;
    parts.push(end > i ? `${numbers[i]}-${numbers[end]}` : `${numbers[i]}`);
    i = end + 1;
  }
  return parts.join(", ");
}
