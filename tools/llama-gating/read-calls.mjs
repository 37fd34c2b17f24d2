import { argumentsAt, oneLine } from "./cpp-source.mjs";

/** What the script cannot read. Never caught to go on with a default: it becomes the architecture's entry. */
export class Unreadable extends Error {
  name = "Unreadable";
}

export const unreadable = (what) => {
  throw new Unreadable(what);
};

const SCORES = {
  SOFTMAX: "softmax",
  SIGMOID: "sigmoid",
  SOFTMAX_WEIGHT: "softmax_topk",
  SQRT_SOFTPLUS: "sqrt_softplus",
};

export function scoreNamed(text) {
  const [, name] = /^LLAMA_EXPERT_GATING_FUNC_TYPE_(\w+)$/.exec(text) ?? [];
  return SCORES[name] ?? unreadable(`the score function ${text} is not known`);
}

/**
 * The arguments of a call by name. The second of the two overloads takes the biases of router and experts too; where
 * the kind of activation stands tells them apart.
 */
function named(args) {
  const SHORT = "cur gate_inp up_exps gate_exps down_exps exp_probs_b";
  const LONG = "cur gate_inp gate_inp_b up_exps up_b gate_exps gate_b down_exps down_b exp_probs_b";
  const MIDDLE = "n_expert n_expert_used type_op norm_w w_scale gating_op il probs_in gate_up_exps";
  const AFTER = { [SHORT]: "up_s gate_s down_s ids_in", [LONG]: "gate_up_b up_s gate_s down_s ids_in" };
  const before = [SHORT, LONG].find((names) => /^LLM_FFN_\w+$/.test(args[names.split(" ").length + 2] ?? ""));
  if (!before) return unreadable("its activation is not where either form of build_moe_ffn has it");
  const names = `${before} ${MIDDLE} ${AFTER[before]}`.split(" ");
  if (args.length > names.length) return unreadable(`it has ${args.length} arguments`);
  return Object.fromEntries(names.map((name, i) => [name, args[i] ?? "nullptr"]));
}

const WEIGHT = /^(?:layer|model\.layers\[il\])\.(\w+)$/;
const weightIn = (text) => WEIGHT.exec(text)?.[1] ?? null;

/** All that is assigned to a variable in a body, declarations included. */
const assignedTo = (name, body) =>
  [...body.matchAll(new RegExp(`\\b${name}\\s*=(?!=)\\s*([^;]+);`, "g"))].map((m) => oneLine(m[1]));

/** A product of the layer's router, or rows of it. */
const isRouterProduct = (text, variable) => {
  const [, inner] = /^(?:build_lora_mm\(|ggml_mul_mat\(ctx0, )([^,()]+), \w+\)$/.exec(text) ?? [];
  return (
    (inner !== undefined && weightIn(inner) === "ffn_gate_inp") ||
    text === `ggml_get_rows(ctx0, ${variable}, inp_out_ids)`
  );
};

/** DeepSeek-V4: experts by token in its first layers, where nothing is added; images have a bias of their own. */
const BY_TOKEN = new RegExp(
  [
    "if \\(is_media\\) \\{ if \\(layer.ffn_exp_probs_b_vl\\) \\{ exp_probs_b = layer.ffn_exp_probs_b_vl; \\} \\} ",
    "else if \\(\\(uint32_t\\) il < hparams.(\\w+)\\) \\{ ",
    "selected_experts = ggml_get_rows\\(ctx0, layer.ffn_gate_tid2eid, res->t_inp_tokens\\); exp_probs_b = nullptr; \\}",
  ].join(""),
);

/**
 * What a call says of the rule.
 *
 * @param text the file without comments, `open` where the call's bracket is, `body` the function around it.
 * @throws Unreadable
 */
export function readCall(text, open, body) {
  const args = named(argumentsAt(text, open));
  const byToken = args.ids_in === "nullptr" ? null : idsByToken(args, body);
  return {
    score: scoreOf(args.gating_op),
    normalize: normalizeOf(args.norm_w),
    scale: scaleOf(args.w_scale),
    selectionBias: biasOf(args.exp_probs_b, byToken),
    routerBias: routerBiasOf(args.gate_inp_b ?? "nullptr"),
    logits: logitsOf(args, body),
    topK: topKOf(args.n_expert_used),
    experts: expertsOf(args.n_expert),
    byToken,
    weights: weightIn(args.up_exps) ?? unreadable(`its experts are ${args.up_exps}`),
  };
}

const scoreOf = (text) =>
  /^(?:\(llama_expert_gating_func_type\) ?|static_cast<llama_expert_gating_func_type>\()hparams\.expert_gating_func\)?$/.test(
    text,
  )
    ? "file"
    : scoreNamed(text);

function normalizeOf(text) {
  if (text === "true" || text === "false") return text === "true";
  return text === "hparams.expert_weights_norm" ? "file" : unreadable(`whether it normalises is ${text}`);
}

function scaleOf(text) {
  if (text === "hparams.expert_weights_scale") return "file";
  return /^\d+(\.\d+)?f$/.test(text) ? Number.parseFloat(text) : unreadable(`its scale is ${text}`);
}

function biasOf(text, byToken) {
  if (text === "nullptr") return false;
  if (weightIn(text) === "ffn_exp_probs_b" || (byToken && text === "exp_probs_b")) return true;
  return unreadable(`its selection bias is ${text}`);
}

function routerBiasOf(text) {
  if (text === "nullptr") return false;
  return weightIn(text) === "ffn_gate_inp_b" || unreadable(`its router's bias is ${text}`);
}

function logitsOf({ gate_inp: router, probs_in: given }, body) {
  if (given === "nullptr")
    return weightIn(router) === "ffn_gate_inp" ? "router" : unreadable(`its router is ${router}`);
  const values = assignedTo(given, body);
  if (values.length > 0 && values.every((value) => isRouterProduct(value, given))) return "before";
  return unreadable(
    `the scores it is given, ${given}, are ${values.join("; ") || "not made in the same function"}`,
  );
}

function topKOf(text) {
  // The graph's own is the first layer's: llm_graph_context::llm_graph_context.
  if (text === "n_expert_used" || text === "hparams.n_expert_used()") return "first";
  if (/^\(int64_t\) ?hparams\.n_expert_used\(il\)$/.test(text)) return "layer";
  return text === "n_expert_used > n_chunk_expert ? n_chunk_expert : n_expert_used"
    ? "chunks"
    : unreadable(`it uses ${text} experts`);
}

function expertsOf(text) {
  if (text === "n_expert" || text === "hparams.n_expert") return "all";
  return text === "n_chunk_expert" ? "chunks" : unreadable(`its number of experts is ${text}`);
}

function idsByToken({ ids_in: given }, body) {
  const [, parameter] = BY_TOKEN.exec(oneLine(body)) ?? [];
  const values = assignedTo(given, body).filter((value) => value !== "nullptr");
  if (parameter && given === "selected_experts" && values.length === 1) return parameter;
  return unreadable(
    `the experts it is given, ${given}, are ${values.join("; ") || "not made in the same function"}`,
  );
}
