/**
 * EasySteer's `easysteer.hidden_states` in TypeScript: the names of its first version, which it removed in 2026-08, and of its
 * second, in camelCase, with the same results. Tuples stay tuples, dictionaries are Maps keyed by 0-based layer, tensors are on
 * the CPU. What is where, and where numbers differ: `docs/easysteer.md`.
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
export { capture, type HsCaptureOptions, type SelectingModel } from "./hs/capture.ts";
export { type CaptureMeta, CaptureResult, type CaptureStream } from "./hs/capture-result.ts";
export {
  getAllHiddenStates,
  getAllHiddenStatesGenerate,
  type HiddenStates,
  HiddenStatesCaptureGenerate,
  HiddenStatesCaptureV1,
  type HiddenStatesGenerateOptions,
} from "./hs/hidden-states.ts";
export type { Output, Outputs } from "./hs/outputs.ts";
export {
  type CapturingModel,
  getMoeRouterLogits,
  getMoeRouterLogitsGenerate,
  MoERouterLogitsCaptureGenerate,
  MoERouterLogitsCaptureV1,
  type MultiModalPrompt,
  type RouterLogits,
  type RouterLogitsGenerateOptions,
  type SplitOptions,
} from "./hs/router-logits.ts";
export type { SelectSpec } from "./hs/select-spec.ts";
export { formatMoeRouterLogitsSummary, printMoeRouterLogitsSummary } from "./hs/summary.ts";
