import type { NamedStream } from "../../../src/core/streams.ts";
import { behindViews, type Graph } from "../../../src/engines/llama/graph/graph.ts";

/**
 * Which tensor llama.cpp's names say a stream's layer is, of several that are present the last one computed. For graphs
 * of fixtures this is right, as their values equal Hugging Face's; it is what moescope trusted once.
 */
const NAMES: Readonly<Record<Exclude<NamedStream, "attention_keys">, readonly string[]>> = {
  router_logits: ["ffn_moe_logits", "ffn_moe_logits_biased"],
  expert_ids: ["ffn_moe_topk"],
  expert_weights: [
    "ffn_moe_weights",
    "ffn_moe_weights_softmax",
    "ffn_moe_weights_norm",
    "ffn_moe_weights_scaled",
  ],
  expert_outputs: ["ffn_moe_down", "ffn_moe_down_scaled", "ffn_moe_down_biased"],
  shared_expert_output: ["ffn_shexp", "ffn_shexp_gated", "ffn_shexp_out", "ffn_moe_shexp", "ffn_mlp"],
  hidden_states: ["l_out", "nemotron_h_block_out", "result_embd"],
  attention: ["kq_soft_max"],
};

export const STREAMS_BY_NAME = Object.keys(NAMES) as (keyof typeof NAMES)[];

/** By stream and layer, `router_logits 3`, where its values are. */
export function tapsByName(graph: Graph): Map<string, string> {
  const streams = new Map<string, (keyof typeof NAMES)[]>();
  for (const stream of STREAMS_BY_NAME)
    for (const name of NAMES[stream]) streams.set(name, [...(streams.get(name) ?? []), stream]);
  const found = new Map<string, string>();
  for (let i = 0; i < graph.nodeCount; i++) {
    const node = graph.at(i);
    const [, name, layer] = /^(.+)-(\d+)$/.exec(node.name) ?? [];
    for (const stream of streams.get(name ?? "") ?? []) found.set(`${stream} ${layer}`, valuesOf(graph, i));
    // Where softmax comes after the choice, llama.cpp renames the logits themselves.
    if (name === "ffn_moe_probs" && (node.op === "MUL_MAT" || node.op === "ADD"))
      found.set(`router_logits ${layer}`, valuesOf(graph, i));
  }
  return found;
}

/** Where a tensor's values are: views of the same from the same byte on are the same values. */
export function valuesOf(graph: Graph, index: number): string {
  const node = graph.at(index);
  const root = behindViews(node);
  return `${root.address} from byte ${root === node ? 0 : node.viewOffset}`;
}
