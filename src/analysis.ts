export { type AnalyzeOptions, type AnalyzeProgress, analyzeCapture } from "./analysis/analyze.ts";
export type { AnalysisHead, CaptureAnalysis, LayerAnalysis } from "./analysis/capture-analysis.ts";
export { coactivation } from "./analysis/coactivation.ts";
export type { DivergingText } from "./analysis/compare/alignment.ts";
export {
  type CaptureComparison,
  type CompareOptions,
  compareCaptures,
  type LayerComparison,
} from "./analysis/compare/compare-captures.ts";
export {
  type Agreement,
  type Checkpoint,
  type CheckpointComparison,
  type CheckpointLayer,
  type CompareCheckpointsOptions,
  compareCheckpoints,
  type SettledExpert,
} from "./analysis/compare/compare-checkpoints.ts";
export {
  type CompareLabelsOptions,
  compareLabels,
  type LabelComparison,
  type LayerLabelComparison,
} from "./analysis/compare/compare-labels.ts";
export type {
  ComparedRows,
  FirstDisagreement,
  MovedToken,
  TokenPlace,
} from "./analysis/compare/compared-rows.ts";
export {
  type LargestShiftsOptions,
  type LayerShift,
  largestShifts,
  type ShiftsByLayer,
  type UsageShift,
} from "./analysis/compare/usage-shift.ts";
export { type ExpertUsage, expertUsage, type LayerUsage } from "./analysis/expert-usage.ts";
export type { LabelBalance, LayerBalance } from "./analysis/measures/balance.ts";
export type { CoactivationPair, CoactivationSummary } from "./analysis/measures/coactivation.ts";
export type { FlowEdge, LayerFlow } from "./analysis/measures/flows.ts";
export type { HiddenStates } from "./analysis/measures/hidden-states.ts";
export type { LabelScores, ScoreTable } from "./analysis/measures/label-scores.ts";
export type { CacheHits, ExpertUnion, LayerLocality } from "./analysis/measures/locality.ts";
export type {
  Cost,
  Measure,
  RoutingShape,
  ScanSettings,
  StreamGroupMeasure,
  StreamMeasure,
  Term,
  Words,
} from "./analysis/measures/measure.ts";
export type { NextExperts, Recall } from "./analysis/measures/next-experts.ts";
export type { RoutingPaths } from "./analysis/measures/paths.ts";
export {
  type CaptureResults,
  type LayerResults,
  type MeasureName,
  measures,
} from "./analysis/measures/registry.ts";
export type { ModelLosses, OwnLoss, RouterLosses } from "./analysis/measures/router-losses.ts";
export type { ScoredExpert } from "./analysis/measures/scored-experts.ts";
export type { SpecializedExpert } from "./analysis/measures/specialized-experts.ts";
export type { Drift, DriftGroup } from "./analysis/measures/tallies/drift.ts";
export type { CentroidSimilarity } from "./analysis/measures/tallies/expert-centroids.ts";
export type { UsageCounts } from "./analysis/measures/tallies/expert-counts.ts";
export type { GroupUsage } from "./analysis/measures/tallies/group-usage.ts";
export type { LinearProbe } from "./analysis/measures/tallies/linear-probe.ts";
export type { Coactivation } from "./analysis/measures/tallies/pair-counts.ts";
export type { OwnScores, RouterSums } from "./analysis/measures/tallies/router-sums.ts";
export type { MomentsByLabel, SummaryByLabel } from "./analysis/measures/tallies/row-moments.ts";
export type { TextStrip } from "./analysis/measures/texts.ts";
export type {
  TokenInContext,
  TokenPreference,
  TokenPreferences,
} from "./analysis/measures/token-preferences.ts";
export type { ExpertLoad, LabelUsage, LayerLoad } from "./analysis/measures/usage.ts";
export { type CorpusCoactivation, coactivationReducer } from "./analysis/reducers/coactivation.ts";
export { combine, type Reducers } from "./analysis/reducers/combine.ts";
export { type CorpusEntropy, type CorpusMean, entropyReducer } from "./analysis/reducers/entropy.ts";
export { type ReducedMeasure, reducer } from "./analysis/reducers/measure-reducer.ts";
export type { Reducer } from "./analysis/reducers/reducer.ts";
export { usageReducer } from "./analysis/reducers/usage.ts";
export { type RowMean, routingEntropy, routingMargin } from "./analysis/row-means.ts";
export type { Completeness, LabelSummary } from "./analysis/rows/completeness.ts";
export {
  type ExpertSpecialization,
  type LabelShare,
  type LayerSpecialization,
  type Specialization,
  type SpecializationOptions,
  specialization,
} from "./analysis/specialization.ts";
export { type SpecializedExpertsOptions, specializedExperts } from "./analysis/specialized-experts.ts";
export {
  coefficientOfVariation,
  type LoadBalance,
  loadBalance,
  maxViolation,
  normalizedEntropy,
} from "./analysis/statistics/balance.ts";
export type { UsageSpread } from "./analysis/statistics/cluster-interval.ts";
export type { Moments, RowSummary } from "./analysis/statistics/moments.ts";
export { rowEntropy, rowMargin } from "./analysis/statistics/row-entropy.ts";
export {
  type UnderusedExpert,
  type UnderusedOptions,
  underusedExperts,
} from "./analysis/underused-experts.ts";
