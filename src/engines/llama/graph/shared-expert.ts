import { type Graph, type GraphNode, weightAt } from "./graph.ts";
import { Levels } from "./levels.ts";
import { must, type Proof, prove } from "./proof.ts";

/**
 * What the shared experts of each layer add: the product with `ffn_down_shexp.weight`, with its bias, scale and gate
 * where there are any, as it is when it is added to something else. Several shared experts are one product in llama.cpp.
 * Layers without them are not in the map.
 */
export function findSharedExperts(
  graph: Graph,
  levels = new Levels(graph),
): ReadonlyMap<number, Proof<GraphNode>> {
  const products = new Map<number, GraphNode[]>();
  for (const node of graph.nodes("MUL_MAT")) {
    const weight = weightAt(node, 0);
    if (weight?.part !== "ffn_down_shexp.weight" || weight.layer === null) continue;
    products.set(weight.layer, [...(products.get(weight.layer) ?? []), node]);
  }
  return new Map(
    [...products].map(([layer, [product, another]]) => [
      layer,
      prove(() => {
        must(!another, () => "its shared experts are run more than once");
        return added(product!, layer, levels);
      }),
    ]),
  );
}

function added(product: GraphNode, layer: number, levels: Levels): GraphNode {
  for (let at = product; ; ) {
    const [reader, another] = at.readers;
    must(
      reader !== undefined && !another,
      () => "its shared experts' output is used in several places, or in none",
    );
    const other = reader.sources.find((source) => source !== at) ?? null;
    if (!other || !levels.isLive(other.index) || (reader.op === "MUL" && isGate(other, layer))) {
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
    return at;
  }
}

/** What may still be done to it: bias, scale, gate. */
const OWN = new Set(["ADD", "MUL", "SCALE", "RESHAPE"]);

/** A number between 0 and 1 for each token, from a product of its own. */
function isGate(node: GraphNode, layer: number): boolean {
  for (let at: GraphNode | null = node; at; at = at.sources[0] ?? null) {
    const weight = at.op === "MUL_MAT" ? weightAt(at, 0) : null;
    if (weight) return weight.part === "ffn_gate_inp_shexp.weight" && weight.layer === layer;
    // Qwen2-MoE makes a sigmoid of a SiLU and a division.
    if (!["SIGMOID", "SILU", "DIV", "RESHAPE"].includes(at.op)) return false;
  }
  return false;
}
