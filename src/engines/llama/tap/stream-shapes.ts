import type { RowShape, RowShapes } from "../../../core/row-shapes.ts";
import { type NamedStream, STREAM_NAMES, streamSpec } from "../../../core/streams.ts";
import { ATTENTION_STREAMS, type GraphTaps, type ProvenTap } from "../graph/graph-taps.ts";

/**
 * The streams of the registry in a graph, by layer what a row of them is or why they are refused.
 *
 * @param attentionSteps whether the graph computes attention in steps; without, nothing is said of its streams.
 */
export function streamShapes(taps: GraphTaps, attentionSteps: boolean): RowShapes {
  const streams = STREAM_NAMES.filter((name) => attentionSteps || !ATTENTION_STREAMS.includes(name));
  return new Map(
    streams.map((stream) => [
      stream,
      new Map(
        [...taps.of(stream)].map(([layer, proof]) => [
          layer,
          "proven" in proof ? rowOf(stream, proof.proven) : proof,
        ]),
      ),
    ]),
  );
}

/** As many axes as the stream has by its definition. */
function rowOf(stream: NamedStream, { node, rows }: ProvenTap): RowShape {
  const sizes = node.shape.filter((_, axis) => axis !== rows.axis);
  // `[keys, tokens, heads]`.
  if (ATTENTION_STREAMS.includes(stream)) return [sizes[1]!, "keys"];
  const { axes } = streamSpec(stream);
  if (axes.length === 1) return [sizes.reduce((all, size) => all * size, 1)];
  return sizes.slice(0, axes.length).reverse();
}
