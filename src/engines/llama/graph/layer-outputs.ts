import { Confluence, writesState } from "./confluence.ts";
import { type Graph, type GraphNode, TYPE } from "./graph.ts";
import { isEmbedding, Levels } from "./levels.ts";
import type { ModelShape } from "./model-shape.ts";
import { must, type Proof, prove, Unproven } from "./proof.ts";

/**
 * The residual stream after each layer: the first tensor that everything a layer computes goes through on its way to
 * the output, if nothing else of this layer or those before it reaches a later one.
 *
 * That is what the next layer's first norm reads, or the final norm, before that norm and before rows are taken out;
 * where norms come last (BERT, OLMo 2) it is what the layer's last norm gives. Layers that hand on several tensors, or
 * one that is no vector per token (hyper-connections), are refused.
 */
export function findLayerOutputs(
  graph: Graph,
  { layers, width }: Pick<ModelShape, "layers" | "width">,
  levels = new Levels(graph),
): readonly Proof<GraphNode>[] {
  const confluence = new Confluence(graph, levels);
  const unread = unreadLayers(graph, levels);
  const crossing = crossings(graph, levels, confluence);
  const outputs: Proof<GraphNode>[] = [];
  for (let layer = 0; layer < layers; layer++)
    outputs.push(
      prove(() => {
        must(!unread.has(layer), () => "part of what it computes is read by nothing");
        const again = levels.readAgain.get(layer);
        must(
          again === undefined,
          () => `its weights are used again after layer ${again}: there is no single pass through it`,
        );
        must(layer <= levels.last, () => "the computation has no such layer");
        const own = levels.readers.get(layer)?.filter((index) => confluence.leadsOut(index)) ?? [];
        must(layer > 0 || own.length > 0, () => "it computes nothing");
        const output =
          layer === 0
            ? withResidual(graph.at(confluence.of(own)), levels)
            : graph.at(confluence.of([...own, outputBefore(outputs).index]));
        checkHandsOn(output, crossing.get(layer) ?? new Set(), graph, levels);
        const [size, , ...rest] = output.shape;
        must(
          output.type === TYPE.F32 && size === width && rest.every((n) => n === 1),
          () => `it hands on a tensor of ${sizes(output)}, not one vector of ${width} values for each token`,
        );
        return output;
      }),
    );
  return outputs;
}

/** What a layer is given: it goes around the layer's operations and must run together with them. */
function outputBefore(outputs: readonly Proof<GraphNode>[]): GraphNode {
  const before = outputs.at(-1)!;
  if ("proven" in before) return before.proven;
  // Said once for the layer where it begins, and in the same words for all that follow.
  throw new Unproven(
    AFTER.test(before.refused)
      ? before.refused
      : `what layer ${outputs.length - 1} hands on is not proven: ${before.refused}`,
  );
}

const AFTER = /^what layer \d+ hands on is not proven: /;

/**
 * The first layer is given the embeddings, which may go to other places too (to all layers, in some models). So here
 * the addition is looked for: the only one to read what the layer computed, and with it what that was computed from.
 */
function withResidual(output: GraphNode, levels: Levels): GraphNode {
  for (let at = output; ; ) {
    const [reader, another] = at.readers;
    if (!reader || another || levels.of(reader.index) !== levels.of(output.index)) return output;
    const other = reader.sources.find((source) => source && source !== at && levels.flows(source.index));
    if (!other) at = reader;
    else return isComputedFrom(output, behindSelection(other)) ? reader : output;
  }
}

/** What rows are taken from, scaled or not. */
function behindSelection(node: GraphNode): GraphNode {
  let at = node;
  while (["GET_ROWS", "RESHAPE", "CONT", "SCALE"].includes(at.op) && !isEmbedding(at)) at = at.sources[0]!;
  return at;
}

function isComputedFrom(node: GraphNode, origin: GraphNode): boolean {
  const seen = new Set<GraphNode>();
  const visit = (at: GraphNode): boolean => {
    if (at === origin) return true;
    if (at.index < origin.index || seen.has(at)) return false;
    seen.add(at);
    return at.sources.some((source) => source && visit(source));
  };
  return visit(node);
}

/** Everything that leaves the layers up to this one for a later one must come of its output alone. */
function checkHandsOn(output: GraphNode, crossing: ReadonlySet<number>, graph: Graph, levels: Levels): void {
  const others = [...crossing].filter((index) => !comesOf(index, output.index, graph, levels));
  const told = [output, ...others.slice(0, 3).map((index) => graph.at(index))].map(sizes).join(", ");
  must(
    others.length === 0,
    () =>
      `it hands on ${others.length + 1} tensors to later layers (${told}${others.length > 3 ? " ..." : ""})`,
  );
}

/** By layer, what it or one before it computes and a later one reads. */
function crossings(
  graph: Graph,
  levels: Levels,
  confluence: Confluence,
): ReadonlyMap<number, ReadonlySet<number>> {
  const byLayer = new Map<number, Set<number>>();
  const { sources, sourcesFrom } = graph.parts;
  for (let reader = 0; reader < graph.nodeCount; reader++) {
    const to = levels.of(reader);
    if (to <= 0) continue;
    for (let at = sourcesFrom[reader]!; at < sourcesFrom[reader + 1]!; at++) {
      const source = sources[at]!;
      if (!levels.flows(source)) continue;
      const from = levels.of(source);
      if (from < 0 || from >= to || confluence.isSideways(source, reader)) continue;
      for (let layer = from; layer < to; layer++)
        byLayer.set(layer, (byLayer.get(layer) ?? new Set()).add(source));
    }
  }
  return byLayer;
}

/** Whether a tensor is another, or is computed from it and from what belongs to no layer. */
function comesOf(index: number, output: number, graph: Graph, levels: Levels): boolean {
  if (index <= output) return index === output;
  const { sources, sourcesFrom } = graph.parts;
  let any = false;
  for (let at = sourcesFrom[index]!; at < sourcesFrom[index + 1]!; at++) {
    const source = sources[at]!;
    if (!levels.flows(source) || levels.of(source) < 0) continue;
    if (!comesOf(source, output, graph, levels)) return false;
    any = true;
  }
  return any;
}

/** Layers with an operation that reads their weights and whose result goes nowhere: llama.cpp builds no such thing. */
function unreadLayers(graph: Graph, levels: Levels): ReadonlySet<number> {
  const { nodeCount, readers, readersFrom } = graph;
  const used = new Uint8Array(nodeCount);
  for (let i = nodeCount - 1; i >= 0; i--) {
    used[i] = i === nodeCount - 1 || writesState(graph, i) ? 1 : 0;
    for (let at = readersFrom[i]!; at < readersFrom[i + 1]! && !used[i]; at++) used[i] = used[readers[at]!]!;
  }
  const unread = [...levels.readers].filter(([, own]) => own.some((index) => !used[index]));
  return new Set(unread.map(([layer]) => layer));
}

/** As ggml counts them, the fastest first; those that say nothing left out. */
function sizes({ shape }: GraphNode): string {
  const rank = shape.reduce((last, size, axis) => (size === 1 ? last : axis + 1), 1);
  return `[${shape.slice(0, rank).join(", ")}]`;
}
