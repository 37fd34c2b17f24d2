import { type Graph, type GraphNode, isComputedFrom, weightAt } from "./graph.ts";
import { Levels } from "./levels.ts";
import { findMoePasses } from "./moe-pass.ts";
import { must, type Proof, prove } from "./proof.ts";

/**
 * What the shared experts of each layer add: the product with `ffn_down_shexp.weight`, with its bias, scale and gate
 * where there are any, as it is when it is added to something else. Several shared experts are one product in llama.cpp.
 *
 * Where a layer has no such weights, a dense network that runs beside the routed experts and is added to their sum is
 * what runs for every token (Gemma 4). Layers with neither are not in the map.
 */
export function findSharedExperts(
  graph: Graph,
  levels = new Levels(graph),
  passes = findMoePasses(graph, levels),
): ReadonlyMap<number, Proof<GraphNode>> {
  const products = new Map<string, Map<number, GraphNode[]>>(
    [SHARED, DENSE, GATE].map((part) => [part, new Map()]),
  );
  for (const node of graph.nodes("MUL_MAT")) {
    const weight = weightAt(node, 0);
    const of = weight && products.get(weight.part);
    if (of && weight.layer !== null) of.set(weight.layer, [...(of.get(weight.layer) ?? []), node]);
  }
  const found = new Map<number, Proof<GraphNode>>();
  for (const [layer, [product, another]] of products.get(SHARED)!)
    found.set(
      layer,
      prove(() => {
        must(!another, () => "its shared experts are run more than once");
        return added(product!, layer, products.get(GATE)!.has(layer), levels).output;
      }),
    );
  for (const [layer, [product, another]] of products.get(DENSE)!) {
    const pass = passes.get(layer);
    if (found.has(layer) || another || !pass || "refused" in pass) continue;
    const dense = prove(() => added(product!, layer, false, levels));
    if (!("proven" in dense)) continue;
    const { output, other } = dense.proven;
    // What reads the experts' sum comes after them, not beside them.
    const { sum } = pass.proven;
    if (isAlone(sum, other, levels) && !isComputedFrom(output, sum)) found.set(layer, { proven: output });
  }
  return found;
}

/** What a network puts out when it is added to something else, and what that is. */
function added(
  product: GraphNode,
  layer: number,
  gated: boolean,
  levels: Levels,
): { output: GraphNode; other: GraphNode } {
  let toGate = gated;
  for (let at = product; ; ) {
    const [reader, another] = at.readers;
    must(
      reader !== undefined && !another,
      () => "its shared experts' output is used in several places, or in none",
    );
    const other = reader.sources.find((source) => source !== at) ?? null;
    const gate = toGate && reader.op === "MUL" && other !== null && isGate(other, layer);
    if (gate) toGate = false;
    if (gate || !other || !levels.isLive(other.index)) {
      must(
        OWN.has(reader.op),
        () => `its shared experts' output goes into the operation ${reader.op}, which is not known there`,
      );
      at = reader;
      continue;
    }
    must(
      reader.op === "ADD",
      () => `its shared experts' output is not added to anything, but goes into ${reader.op}`,
    );
    must(!toGate, () => "its shared experts have a gate, which is not applied to their output");
    return { output: at, other };
  }
}

/**
 * Whether a tensor is the experts' sum and nothing beside it, with its norm or factor. After a residual it is not: what
 * is added then is a step of the layer of its own.
 */
function isAlone(sum: GraphNode, tensor: GraphNode, levels: Levels): boolean {
  for (let at = tensor; at !== sum; ) {
    const [live, another] = at.sources.filter((source) => source && levels.isLive(source.index));
    if (!live || another || !OWN.has(at.op)) return false;
    at = live;
  }
  return true;
}

const SHARED = "ffn_down_shexp.weight";
const DENSE = "ffn_down.weight";
/** The product that makes the gate of shared experts. */
const GATE = "ffn_gate_inp_shexp.weight";

/** What may still be done to it: bias, scale, gate, norm. */
const OWN = new Set(["ADD", "MUL", "SCALE", "RESHAPE", "RMS_NORM", "NORM"]);

/** A number between 0 and 1 for each token, from a product of its own. */
function isGate(node: GraphNode, layer: number): boolean {
  for (let at: GraphNode | null = node; at; at = at.sources[0] ?? null) {
    const weight = at.op === "MUL_MAT" ? weightAt(at, 0) : null;
    if (weight) return weight.part === GATE && weight.layer === layer;
    // Qwen2-MoE makes a sigmoid of a SiLU and a division.
    if (!["SIGMOID", "SILU", "DIV", "RESHAPE"].includes(at.op)) return false;
  }
  return false;
}
