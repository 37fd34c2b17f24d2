import type { Plan } from "../../capture/plan.ts";
import { activationOf, type NamedStream, type StreamName } from "../../capture/streams.ts";

/** A graph tensor that holds a stream's values for one layer. */
export interface TapTarget {
  readonly stream: StreamName;
  readonly layer: number;
  /** Axis of the tensor that counts rows; the others make up a row. */
  readonly rowAxis: number;
  /** Take it only if it is a direct product of the router, not the result of a softmax or sigmoid. */
  readonly onlyIfRaw: boolean;
}

type Candidate = Omit<TapTarget, "stream" | "layer"> & { readonly name: string };

const vector = (name: string): Candidate => ({ name, rowAxis: 1, onlyIfRaw: false });
const matrix = (name: string): Candidate => ({ name, rowAxis: 2, onlyIfRaw: false });

/** `[keys, tokens, heads]`; what {@link AttentionRows} makes rows of. */
const ATTENTION = vector("kq_soft_max");

/**
 * Where llama.cpp keeps each stream: names given by `llm_graph_context::build_moe_ffn`, `build_attn_mha` and the graph
 * builders, with `-<layer>` appended. Of several that are present in a graph the last one counts.
 */
const TAPS: Readonly<Record<NamedStream, readonly Candidate[]>> = {
  router_logits: [
    vector("ffn_moe_logits"),
    // gpt-oss: the router is a linear layer with a bias.
    vector("ffn_moe_logits_biased"),
    // Where softmax comes after the choice, llama.cpp renames the logits themselves.
    { ...vector("ffn_moe_probs"), onlyIfRaw: true },
  ],
  expert_ids: [vector("ffn_moe_topk")],
  expert_weights: [
    matrix("ffn_moe_weights"),
    matrix("ffn_moe_weights_softmax"),
    vector("ffn_moe_weights_norm"),
    matrix("ffn_moe_weights_scaled"),
  ],
  expert_outputs: [matrix("ffn_moe_down"), matrix("ffn_moe_down_scaled"), matrix("ffn_moe_down_biased")],
  shared_expert_output: [
    vector("ffn_shexp"),
    // Qwen3-Next, and Qwen2-MoE and GLM-4-MoE: after the shared expert's gate.
    vector("ffn_shexp_gated"),
    vector("ffn_shexp_out"),
    // Llama 4; Hunyuan-MoE.
    vector("ffn_moe_shexp"),
    vector("ffn_mlp"),
  ],
  hidden_states: [vector("l_out")],
  attention: [ATTENTION],
  attention_keys: [ATTENTION],
};

/** The tensors that may hold a stream of the registry, by llama.cpp's names. */
export const tensorsOf = (stream: NamedStream): string[] => TAPS[stream].map(({ name }) => name);

/**
 * All tensor names a plan needs, with what each is for.
 *
 * @param rowAxisOf of a tensor that a user named; llama.cpp's names say nothing of their axes.
 */
export function targetsOf(plan: Plan, rowAxisOf: (tensor: string) => number): Map<string, TapTarget[]> {
  const candidatesOf = (stream: StreamName, layer: number): readonly Candidate[] => {
    const name = activationOf(stream);
    return name === null
      ? TAPS[stream as NamedStream]
      : [{ name, rowAxis: rowAxisOf(`${name}-${layer}`), onlyIfRaw: false }];
  };
  const targets = new Map<string, TapTarget[]>();
  for (const { name: stream, layers } of plan.streams)
    for (const layer of layers)
      for (const { name, ...rest } of candidatesOf(stream, layer)) {
        const tensor = `${name}-${layer}`;
        const of = targets.get(tensor) ?? [];
        targets.set(tensor, of);
        of.push({ stream, layer, ...rest });
      }
  return targets;
}

/** Whether a plan captures from the layer in which llama.cpp computes only the rows marked as outputs. */
export function needsOutputRows(plan: Plan, layers: number): boolean {
  return plan.streams.some((stream) => stream.layers.includes(layers - 1));
}

/** Whether attention must be computed in steps: flash attention never has the weights in memory. */
export const needsAttentionSteps = (streams: readonly StreamName[]): boolean =>
  streams.some((name) => TAPS[name as NamedStream]?.includes(ATTENTION));
