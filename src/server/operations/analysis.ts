import type { CaptureAnalysis } from "../../analysis/capture-analysis.ts";
import { layerCoactivation } from "../../analysis/coactivation.ts";
import { compareCaptures } from "../../analysis/compare/compare-captures.ts";
import { expertAtlas } from "../../analysis/expert-atlas.ts";
import { expertSimilarity } from "../../analysis/expert-similarity.ts";
import { type ExpertUsage, expertUsage } from "../../analysis/expert-usage.ts";
import { loadBalance, underusedExperts } from "../../analysis/statistics/balance.ts";
import { usageOfRows } from "../../analysis/usage-of-rows.ts";
import { RequestError } from "../../errors.ts";
import { type Answer, arrayAnswer, jsonAnswer } from "../answer.ts";
import type {
  AnalysisOverview,
  BalanceReport,
  ComparisonReport,
  Similarity,
  Usage,
} from "../api/analysis.ts";
import type { RowFilter } from "../api/values.ts";
import type { OpenedCapture } from "../open-captures.ts";
import { requireRouting, rowsWhere } from "../row-filter.ts";

/** Usage of each expert in the rows that meet the conditions. */
export function usageAnswer(opened: OpenedCapture, filter: RowFilter): Answer {
  const { experts, topK, fairShare, layers } = filteredUsage(opened, filter);
  const answer: Usage = {
    experts,
    topK,
    fairShare,
    layers: [...layers].map(([layer, { rows, counts, weights }]) => ({
      layer,
      rows,
      counts: [...counts],
      weights: weights && [...weights],
      balance: loadBalance(counts),
    })),
  };
  return jsonAnswer(answer);
}

function filteredUsage({ capture }: OpenedCapture, filter: RowFilter): ExpertUsage {
  const rows = rowsWhere(capture, filter);
  return rows ? usageOfRows(capture, rows) : expertUsage(capture);
}

/** How evenly each layer's load is spread. */
export function balanceAnswer(opened: OpenedCapture, filter: RowFilter): Answer {
  const { experts, topK, fairShare, layers } = filteredUsage(opened, filter);
  const answer: BalanceReport = {
    experts,
    topK,
    fairShare,
    layers: [...layers].map(([layer, usage]) => ({
      layer,
      rows: usage.rows,
      ...loadBalance(usage.counts),
      sorted: Array.from(usage.counts, (_, expert) => expert).sort(
        (a, b) => usage.counts[b]! - usage.counts[a]! || a - b,
      ),
      shares: Array.from(usage.counts, (count) => (usage.rows === 0 ? 0 : count / usage.rows)),
      underused: underusedExperts(usage).map((of) => ({ ...of, interval: [...of.interval] })),
    })),
  };
  return jsonAnswer(answer);
}

/** How much each pair of a layer's experts seeks each other's company, `[experts, experts]`; see `CoactivationPair`. */
export function attractionAnswer(opened: OpenedCapture, layer: number): Answer {
  requireRouting(opened.capture, layer, null);
  const { experts, neutralLift, lift } = layerCoactivation(opened.capture, layer);
  return arrayAnswer(
    Float32Array.from(lift, (value) => value / neutralLift),
    [experts, experts],
  );
}

/** How far the experts of all layers serve the tokens that one serves; see `expertSimilarity`. */
export function similarityAnswer({ capture }: OpenedCapture, layer: number, expert: number): Answer {
  requireRouting(capture, layer, expert);
  const { layers, ...found } = expertSimilarity(capture, layer, expert);
  const answer: Similarity = {
    ...found,
    layers: layers.map((of) => ({
      layer: of.layer,
      counts: [...of.counts],
      shared: [...of.shared],
      phi: Array.from(of.phi, (value) => (Number.isNaN(value) ? null : value)),
    })),
  };
  return jsonAnswer(answer);
}

/** Everything `analyzeCapture` finds, without what it says of each layer's experts and pairs. */
export function analysisOverview({ layers, ...rest }: CaptureAnalysis): Answer {
  const slim = layers.map(({ tastes: _, coactivation, ...layer }) => ({
    ...layer,
    coactivation: coactivation && { ...coactivation, attraction: null },
  }));
  return jsonAnswer({ ...rest, layers: slim } satisfies AnalysisOverview);
}

/** All that was found in one layer. */
export function analysisOfLayer({ layers }: CaptureAnalysis, layer: number): Answer {
  const found = layers.find((of) => of.layer === layer);
  if (!found)
    throw new RequestError("UNKNOWN_LAYER", `the capture does not tell which experts layer ${layer} chose`);
  return jsonAnswer(found);
}

/** The experts as points; see `expertAtlas`. */
export const atlasAnswer = (analysis: CaptureAnalysis): Answer => jsonAnswer(expertAtlas(analysis));

/** Two captures side by side. */
export function comparisonAnswer(a: OpenedCapture, b: OpenedCapture): Answer {
  const found = compareCaptures(a.capture, b.capture);
  const answer: ComparisonReport = {
    rows: found.rows.length,
    onlyA: found.onlyA,
    onlyB: found.onlyB,
    exact: found.exact,
    parted: [...found.parted],
    layers: [...found.layers].map(([layer, of]) => ({ layer, ...of, experts: [...of.experts] })),
    firstDisagreements: [...found.firstDisagreements],
    moved: [...found.moved],
  };
  return jsonAnswer(answer);
}
