import type { Plan } from "../../capture/plan.ts";
import type { StreamName } from "../../capture/streams.ts";

/** A graph tensor that holds a stream's values for one layer. */
export interface TapTarget {
  readonly stream: StreamName;
  readonly layer: number;
  /** Axis of the tensor that counts rows; the axes before it make up a row. */
  readonly rowAxis: 1 | 2;
  /** Take it only if it is a direct product of the router, not the result of a softmax or sigmoid. */
  readonly onlyIfRaw: boolean;
}

type Candidate = Omit<TapTarget, "stream" | "layer"> & { readonly name: string };

const vector = (name: string): Candidate => ({ name, rowAxis: 1, onlyIfRaw: false });

/**
 * Where llama.cpp keeps each stream: names given by `llm_graph_context::build_moe_ffn` and the graph builders, with
 * `-<layer>` appended. Of several that are present in a graph the last one counts.
 */
const TAPS: Readonly<Record<StreamName, readonly Candidate[]>> = {
  router_logits: [
    vector("ffn_moe_logits"),
    // gpt-oss: the router is a linear layer with a bias.
    vector("ffn_moe_logits_biased"),
    // Where softmax comes after the choice, llama.cpp renames the logits themselves.
    { ...vector("ffn_moe_probs"), onlyIfRaw: true },
  ],
  expert_ids: [vector("ffn_moe_topk")],
  expert_weights: [
    { ...vector("ffn_moe_weights"), rowAxis: 2 },
    { ...vector("ffn_moe_weights_softmax"), rowAxis: 2 },
    vector("ffn_moe_weights_norm"),
    { ...vector("ffn_moe_weights_scaled"), rowAxis: 2 },
  ],
  hidden_states: [vector("l_out")],
};

/** All tensor names a plan needs, with what each is. */
export function targetsOf(plan: Plan): Map<string, TapTarget> {
  const targets = new Map<string, TapTarget>();
  for (const { name: stream, layers } of plan.streams)
    for (const layer of layers)
      for (const { name, ...rest } of TAPS[stream])
        targets.set(`${name}-${layer}`, { stream, layer, ...rest });
  return targets;
}

/** Whether a plan captures from the layer in which llama.cpp computes only the rows marked as outputs. */
export function needsOutputRows(plan: Plan, layers: number): boolean {
  return plan.streams.some((stream) => stream.layers.includes(layers - 1));
}
