import type { GraphTensor } from "../../../core/engine.ts";
import { RequestError } from "../../../core/errors.ts";
import type { RefusedLayer, RowShape } from "../../../core/row-shapes.ts";
import { tensorOf } from "../tap/targets.ts";

/**
 * Which layers have a tensor that a user named, and how long its rows are, from what the graph has.
 *
 * @param activation with a number behind it (`Qcur.2`) where layers have several of the name.
 * @throws RequestError `UNKNOWN_STREAM` for a tensor that is not there or cannot be captured.
 */
export function activationShapes(
  activation: string,
  graph: readonly GraphTensor[],
): ReadonlyMap<number, RowShape | RefusedLayer> {
  const list = "(moescope inspect MODEL --tensors lists them)";
  const named = graph.filter(({ name }) => name === activation);
  const several = graph.filter(({ name }) => name !== activation && tensorOf(name).tensor === activation);
  const which = [...new Set(several.map(({ name }) => name))];
  if (named.length === 0)
    throw new RequestError(
      "UNKNOWN_STREAM",
      which.length > 0
        ? `layers have several tensors "${activation}": say which of them, ${which.join(" or ")} ${list}`
        : `the model has no tensor "${activation}" ${list}`,
    );
  const usable = named.filter(({ capturable }) => capturable);
  if (usable.length === 0)
    throw new RequestError(
      "UNKNOWN_STREAM",
      `"${activation}" cannot be captured: ${whyNot(named[0]!)} ${list}`,
    );
  const refused = {
    refused: `it has several tensors of that name: say which of them, ${which.join(" or ")}`,
  };
  const shapes = new Map<number, RowShape | RefusedLayer>([
    ...several.flatMap(({ layers }) => layers.map((layer) => [layer, refused] as const)),
    ...usable.flatMap((tensor) => tensor.layers.map((layer) => [layer, rowOf(tensor)] as const)),
  ]);
  return new Map([...shapes].sort(([a], [b]) => a - b));
}

/** Why a tensor is no stream. */
export function whyNot({ name, type, shape }: GraphTensor): string {
  if (name === "kq_soft_max") return "its rows grow with the cache; the stream attention has it";
  if (shape.includes("varies")) return "an axis changes with what the cache holds";
  if (!shape.includes("tokens")) return "it has no row for each token";
  return `its values are ${type}`;
}

/** A tensor of which every token is a single number has a row of one. */
function rowOf({ shape }: GraphTensor): readonly number[] {
  const row = shape.filter((size) => typeof size === "number");
  return row.length > 0 ? row : [1];
}
