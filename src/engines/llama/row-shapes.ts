import { activationOf, type NamedStream, type StreamName } from "../../capture/streams.ts";
import { RequestError } from "../../errors.ts";
import type { GraphTensor, RowShapes } from "../engine.ts";
import { needsAttentionSteps, tensorsOf } from "./taps.ts";

type LayerShapes = Map<number, readonly (number | "keys")[]>;

/**
 * Which layers have a stream, and how long its rows are, from what the graph has.
 *
 * @throws RequestError `UNKNOWN_STREAM` for an activation that is not there or cannot be captured.
 */
export function rowShapes(streams: readonly StreamName[], graph: readonly GraphTensor[]): RowShapes {
  return new Map(
    streams.map((stream) => {
      const tensor = activationOf(stream);
      if (tensor !== null) return [stream, activationShapes(tensor, graph)];
      const names = tensorsOf(stream as NamedStream);
      const tensors = graph.filter(({ name }) => names.includes(name));
      return [stream, layerShapes(tensors, needsAttentionSteps([stream]) ? headsAndKeys : rowOf)];
    }),
  );
}

function activationShapes(tensor: string, graph: readonly GraphTensor[]): LayerShapes {
  const named = graph.filter(({ name }) => name === tensor);
  const list = "(moescope inspect MODEL --tensors lists them)";
  if (named.length === 0)
    throw new RequestError("UNKNOWN_STREAM", `the model has no tensor "${tensor}" ${list}`);
  const usable = named.filter(({ capturable }) => capturable);
  if (usable.length === 0)
    throw new RequestError("UNKNOWN_STREAM", `"${tensor}" cannot be captured: ${whyNot(named[0]!)} ${list}`);
  return layerShapes(usable, rowOf);
}

/** Why a tensor is no stream. */
export function whyNot({ name, type, shape }: GraphTensor): string {
  if (name === "kq_soft_max") return "its rows grow with the cache; the stream attention has it";
  if (shape.includes("varies")) return "an axis changes with what the cache holds";
  if (!shape.includes("tokens")) return "it has no row for each token";
  return `its values are ${type}`;
}

function layerShapes(
  tensors: readonly GraphTensor[],
  shapeOf: (tensor: GraphTensor) => readonly (number | "keys")[],
): LayerShapes {
  const shapes: LayerShapes = new Map();
  for (const tensor of tensors) for (const layer of tensor.layers) shapes.set(layer, shapeOf(tensor));
  return new Map([...shapes].sort(([a], [b]) => a - b));
}

/** A tensor of which every token is a single number has a row of one. */
function rowOf({ shape }: GraphTensor): readonly number[] {
  const row = shape.filter((size) => typeof size === "number");
  return row.length > 0 ? row : [1];
}

/** `[heads, tokens, keys]`; a single head is not shown. */
const headsAndKeys = ({ shape }: GraphTensor) =>
  [shape.length < 3 ? 1 : (shape[0] as number), "keys"] as const;
