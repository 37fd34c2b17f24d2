/** Names of the tensors that hold routed experts; `LLM_FFN_EXPS_REGEX` of llama.cpp's command line. */
export const EXPERTS = "\\.ffn_(up|down|gate|gate_up)_(ch|)exps";
