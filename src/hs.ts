/**
 * EasySteer's `easysteer.hidden_states` in TypeScript: the same names in camelCase, the same results. Tuples stay
 * tuples, dictionaries are Maps keyed by 0-based layer, tensors are on the CPU.
 *
 * For new code `llm.capture(...)` says more: it labels every row with its token, and brings the experts really used.
 */

export { softmax } from "./gating/softmax.ts";
export { type TopK, topk } from "./gating/topk.ts";
export {
  type AnalyzeExpertUsageOptions,
  analyzeExpertUsage,
  type ExpertUsageAnalysis,
} from "./hs/analyze-expert-usage.ts";
export { getAllHiddenStates, type HiddenStates } from "./hs/hidden-states.ts";
export {
  type CapturingModel,
  getMoeRouterLogits,
  getMoeRouterLogitsGenerate,
  MoERouterLogitsCaptureV1,
  type MultiModalPrompt,
  type Outputs,
  type RouterLogits,
  type RouterLogitsGenerateOptions,
  type SplitOptions,
} from "./hs/router-logits.ts";
export { formatMoeRouterLogitsSummary, printMoeRouterLogitsSummary } from "./hs/summary.ts";
