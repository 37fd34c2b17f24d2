export { advisePlacement, type ModelPlacement, type PlacementOptions } from "./advice/advise-placement.ts";
export { type ExpertCache, expertCache } from "./advice/expert-cache.ts";
export {
  type ExpertParallelPlacement,
  placeOnRanks,
  type RankImbalance,
} from "./advice/expert-parallel.ts";
export type { ExpertPlacement, PlacementAdvice } from "./advice/placement.ts";
export {
  type Interval,
  type PruneCandidate,
  type PruneCandidates,
  pruneCandidates,
} from "./advice/prune-candidates.ts";
export type { ReapScore } from "./advice/reap.ts";
export { type RankLayout, type RankPlacement, rebalanceExperts } from "./advice/rebalance-experts.ts";
export { Capture, type Rows } from "./capture/capture.ts";
export type { CaptureWith } from "./capture/capture-with.ts";
export type { FolderOptions } from "./capture/folder/folder-options.ts";
export { FolderSink } from "./capture/folder/folder-sink.ts";
export { openCapture } from "./capture/folder/folder-source.ts";
export type { LayerTensors } from "./capture/layer-tensors.ts";
export type { CaptureOrigin, MissingRows, RowSpan } from "./capture/source.ts";
export type {
  AddEdit,
  BanEdit,
  BiasEdit,
  Edit,
  EditRecord,
  ForceEdit,
  RecordedLayers,
  RecordedRoutes,
  ReplayEdit,
  TopKEdit,
} from "./core/edits.ts";
export type { EmbeddingInfo, Pooling, Task, TaskOptions } from "./core/embedding.ts";
export type { GraphTensor } from "./core/engine.ts";
export {
  CaptureError,
  EngineError,
  type ErrorCode,
  ModelError,
  MoescopeError,
  type MoescopeErrorOptions,
  RequestError,
} from "./core/errors.ts";
export type { Gating } from "./core/gating.ts";
export type { ModelInfo, MoeInfo, MoeLayer } from "./core/model-info.ts";
export { moeLayer } from "./core/moe-layer.ts";
export type { AttentionOptions, PlannedStream, PlanOptions, Reduction } from "./core/plan.ts";
export type {
  EngineSettings,
  Finished,
  FinishReason,
  MediaSpan,
  Sampling,
  WantedLogprobs,
} from "./core/request.ts";
export type {
  ResolvedCondition,
  ResolvedSelection,
  RowCondition,
  RowSelection,
  RowWindow,
} from "./core/row-selection.ts";
export type { Phase, RowBatch, RowLabels } from "./core/rows.ts";
export type { RunEnd, RunHeader, RunRequest, SampleInfo, Sink } from "./core/sink.ts";
export {
  type ActivationName,
  type NamedStream,
  STREAMS,
  type StreamName,
  type StreamSpec,
  type StreamType,
} from "./core/streams.ts";
export { type Tensor, type TensorDataTypes, type TensorType, tensor } from "./core/tensor.ts";
export type { LoadOptions } from "./engines/index.ts";
export type { LlamaLoadOptions } from "./engines/llama/entry.ts";
export type { Isolation } from "./engines/llama/host/load-host.ts";
export type { CacheType } from "./engines/llama/model/cache-size.ts";
export type { ModelFile } from "./engines/llama/model/gguf.ts";
export type { PromptFacts } from "./engines/llama/model/prompt-facts.ts";
export type { TokenizerKind } from "./engines/llama/model/tokenizer-kind.ts";
export type { GpuChoice, GpuKind } from "./engines/llama/native/gpu.ts";
export type { LlamaOptions } from "./engines/llama/options.ts";
export type { TensorOverride } from "./engines/llama/run/device-placement.ts";
export type { Strategy } from "./engines/llama/tap/tap.ts";
export type { EngineArguments, StartProgress, VllmOptions } from "./engines/vllm/options.ts";
export type { ServerLoadOptions } from "./engines/vllm/server/entry.ts";
export type { ServerOptions } from "./engines/vllm/server/server-engine.ts";
export type { VllmLoadOptions } from "./engines/vllm/worker/entry.ts";
export { type ExpertLoadTable, expertLoad } from "./export/expert-load.ts";
export { exportCapture } from "./export/export-capture.ts";
export { EXPORT_FORMATS, type ExportFormat } from "./export/formats.ts";
export { type RoutedExperts, routedExperts, type SampleSpan } from "./export/routed-experts.ts";
export { type StreamArray, streamArray } from "./export/stream-arrays.ts";
export { type UsageRow, usageTable } from "./export/usage-table.ts";
export type { NpyArray, NpyType } from "./formats/npy.ts";
export { npyBytes } from "./formats/npy.ts";
export { type Routing, route } from "./gating/route.ts";
export { type RowGate, rowGate } from "./gating/row-gate.ts";
export { softmax } from "./gating/softmax.ts";
export { type TopK, topk } from "./gating/topk.ts";
export { formatMoeRouterLogitsSummary, printMoeRouterLogitsSummary } from "./hs/summary.ts";
export * as hs from "./hs.ts";
export type { GenerateOptions } from "./run/generate-options.ts";
export type { LanguageModel } from "./run/language-model.ts";
export { inspectModel, load, selectionBias } from "./run/load.ts";
export type { ChatMessage, MessagePart } from "./run/prompts/message.ts";
export type { MultiModalData, Prompt, PromptObject } from "./run/prompts/prompt-object.ts";
export type { CaptureOptions, Progress, RunOptions, TokenizeOptions } from "./run/run-options.ts";
export { type StoredRun, storedRun } from "./run/stored-run.ts";
export type { TokenEvent } from "./run/token-event.ts";
export type { ReferenceOptions } from "./sources/reference-options.ts";
export type { DownloadProgress } from "./sources/resolved-model.ts";
export { type ReportOptions, reportHtml } from "./views/html/report.ts";
