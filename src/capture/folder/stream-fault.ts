import type { ModelInfo } from "../../core/model-info.ts";
import { describedDims } from "../../core/plan.ts";
import { axesOf, type StreamName, streamSpec } from "../../core/streams.ts";
import type { TensorType } from "../../core/tensor.ts";
import type { Dtype } from "../../formats/safetensors.ts";

/** Decoder layers; the deepest models have a few hundred. */
export const MAX_LAYERS = 2 ** 16;

/** Values of a row in a layer; attention of 1000 heads over a million keys. */
const MAX_WIDTH = 2 ** 30;

/** By type in memory, what it may be on disk. */
const STORED_AS: Record<TensorType, readonly Dtype[]> = {
  float32: ["F32", "F16", "BF16"],
  uint16: ["U8", "U16"],
  int32: ["I32"],
};

/** A stream as a manifest has it. */
interface StoredStream {
  readonly axes: readonly string[];
  readonly dtype: Dtype;
  readonly layers: readonly number[];
  readonly widths?: readonly number[] | undefined;
  readonly dims?: readonly (readonly number[])[] | undefined;
}

/**
 * What is wrong with a stream of a manifest, as the place in it and words, or `null`: its numbers must be those of a
 * stream, agree with each other, and fit the model.
 *
 * @param rows of the capture.
 */
export function streamFault(
  model: ModelInfo,
  name: StreamName,
  entry: StoredStream,
  rows: number,
): string | null {
  return numbersFault(name, entry, rows) ?? modelFault(model, name, entry);
}

function numbersFault(
  name: StreamName,
  { axes, dtype, layers, widths, dims }: StoredStream,
  rows: number,
): string | null {
  const [given, wanted] = [axes.slice(1).join(), axesOf(name, axes.length - 1).join()];
  if (given !== wanted) return `axes: ${given} where ${wanted} belongs`;
  const deepest = layers.find((layer) => layer >= MAX_LAYERS);
  if (deepest !== undefined) return `layers: ${deepest}; the limit is ${MAX_LAYERS - 1}`;
  const widest = [...(widths ?? []), ...(dims ?? []).map(product)].find((width) => width > MAX_WIDTH);
  if (widest !== undefined) return `widths: ${widest}; the limit is ${MAX_WIDTH}`;
  const { type } = streamSpec(name);
  if (!STORED_AS[type].includes(dtype)) return `dtype: ${dtype} holds no ${type}`;
  if (widths && widths.length !== layers.length) return "widths: not one width a layer";
  if (widths && dims?.some((sizes, i) => product(sizes) !== widths[i]))
    return "dims: other sizes than the widths";
  return rows > 0 && widths === undefined ? "widths: absent, though there are rows" : null;
}

/** What an analysis would divide rows by is the model's word; the rows' own is the stream's. */
function modelFault(
  model: ModelInfo,
  name: StreamName,
  { layers, widths, dims }: StoredStream,
): string | null {
  const { routed, axes, toldBy } = streamSpec(name);
  const having = routed ? (model.moe?.layers ?? []) : null;
  for (const [i, layer] of layers.entries()) {
    if (layer >= model.layers) return `layers: ${layer}; the model has ${model.layers}`;
    if (having && !having.includes(layer)) return `layers: ${layer}, which has no router`;
    // What the engine tells, it takes from the computation: a latent space has another width than the model.
    if (toldBy === "engine") continue;
    const described = describedDims(model, name, layer);
    const sizes = dims?.[i] ?? (widths && axes.length === 1 ? [widths[i]!] : null);
    const told = axes.length === 1 ? described : described.slice(0, 1);
    const axis = sizes ? told.findIndex((size, j) => size !== sizes[j]) : -1;
    if (axis >= 0)
      return `${dims ? "dims" : "widths"}: ${sizes![axis]} ${axes[axis]} in layer ${layer}, where the model has ${told[axis]}`;
  }
  return null;
}

const product = (sizes: readonly number[]) => sizes.reduce((all, size) => all * size, 1);
