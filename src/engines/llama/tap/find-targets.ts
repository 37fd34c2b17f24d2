import { EngineError } from "../../../core/errors.ts";
import type { GraphTaps } from "../graph/graph-taps.ts";
import type { TokenRows } from "../graph/rows.ts";
import type { NamedTarget, TapTarget, Targets } from "./targets.ts";

/** A tensor of a graph that is to be taken for a stream's layer. */
export interface Found extends TapTarget {
  /** In the graph. */
  readonly index: number;
  /** Axis that counts rows; the others make up a row. */
  readonly rowAxis: number;
  /** What the rows are; `null`: not known, as of a tensor that a user named. Their number must tell then. */
  readonly rowsAre: TokenRows["of"] | null;
}

/**
 * The tensors of a graph that are wanted. What was proven in a graph that was looked at is proven in this one too, or
 * nothing is taken: a graph may depend on the step.
 *
 * @throws EngineError naming what is not proven, or what a user named and is not there once.
 */
export function findTargets(taps: GraphTaps, { proven, named }: Targets): Found[] {
  return [
    ...proven.map(({ stream, layer }) => {
      const proof = taps.of(stream).get(layer) ?? { refused: "the layer has no such thing" };
      if ("refused" in proof)
        throw new EngineError(
          "ENGINE_FAILED",
          `llama.cpp computes this step in another way than was looked at when the model was loaded, and ${stream} of ` +
            `layer ${layer} is not proven in it: ${proof.refused}. Nothing of the step is given; leave the stream out`,
        );
      const { node, rows } = proof.proven;
      return { stream, layer, index: node.index, rowAxis: rows.axis, rowsAre: rows.of };
    }),
    ...findNamed(taps, named),
  ];
}

function findNamed(taps: GraphTaps, targets: readonly NamedTarget[]): Found[] {
  if (targets.length === 0) return [];
  const byName = new Map<string, number[]>(targets.map(({ tensor, layer }) => [`${tensor}-${layer}`, []]));
  const { graph } = taps;
  for (let i = 0; i < graph.nodeCount; i++) byName.get(graph.at(i).name)?.push(i);
  return targets.map(({ stream, layer, tensor, occurrence, rowAxis }) => {
    const of = byName.get(`${tensor}-${layer}`)!;
    const index = of[(occurrence ?? 1) - 1];
    if (index === undefined || (occurrence === null && of.length > 1))
      throw new EngineError(
        "ENGINE_FAILED",
        `layer ${layer} has ${of.length} tensors ${tensor} in this step, not as it was looked at; leave ${stream} out`,
      );
    const rows = taps.rows.of(index);
    return { stream, layer, index, rowAxis, rowsAre: rows?.axis === rowAxis ? rows.of : null };
  });
}
