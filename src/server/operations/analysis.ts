import { coactivationIn } from "../../analysis/coactivation.ts";
import { compareCaptures } from "../../analysis/compare/compare-captures.ts";
import { expertAtlas } from "../../analysis/expert-atlas.ts";
import { expertSimilarity } from "../../analysis/expert-similarity.ts";
import { type ExpertUsage, expertUsage } from "../../analysis/expert-usage.ts";
import { usageOfRows } from "../../analysis/usage-of-rows.ts";
import { RequestError } from "../../core/errors.ts";
import { analysisOverview, type CaptureAnalysis } from "../../views/facts/analysis.ts";
import { comparisonOf } from "../../views/facts/comparison.ts";
import { similarityOf } from "../../views/facts/similarity.ts";
import { balancesOf, usageOf } from "../../views/facts/usage.ts";
import { type Answer, arrayAnswer, jsonAnswer } from "../answer.ts";
import type { RowFilter } from "../api/values.ts";
import type { OpenedCapture } from "../open-captures.ts";
import { requireRouting, rowsWhere } from "../row-filter.ts";

/** Usage of each expert in the rows that meet the conditions. */
export const usageAnswer = (opened: OpenedCapture, filter: RowFilter): Answer =>
  jsonAnswer(usageOf(filteredUsage(opened, filter), { byLabel: false }));

/** How evenly each layer's load is spread. */
export const balanceAnswer = (opened: OpenedCapture, filter: RowFilter): Answer =>
  jsonAnswer(balancesOf(filteredUsage(opened, filter)));

function filteredUsage({ capture }: OpenedCapture, filter: RowFilter): ExpertUsage {
  const rows = rowsWhere(capture, filter);
  return rows ? usageOfRows(capture, rows) : expertUsage(capture);
}

/** How often each pair of a layer's experts serves the same token, `[experts, experts]`; see `CoactivationPair`. */
export function coactivationAnswer({ capture }: OpenedCapture, layer: number): Answer {
  requireRouting(capture, layer, null);
  const { experts, neutralLift, lift } = coactivationIn(capture, [layer]).get(layer)!;
  return arrayAnswer(
    Float32Array.from(lift, (value) => value / neutralLift),
    [experts, experts],
  );
}

/** How far the experts of all layers serve the tokens that one serves; see `expertSimilarity`. */
export function similarityAnswer({ capture }: OpenedCapture, layer: number, expert: number): Answer {
  requireRouting(capture, layer, expert);
  return jsonAnswer(similarityOf(expertSimilarity(capture, layer, expert)));
}

/** Everything `analyzeCapture` finds, without the large parts of what it says of each layer. */
export const overviewAnswer = (analysis: CaptureAnalysis): Answer => jsonAnswer(analysisOverview(analysis));

/** All that was found in one layer. */
export function layerAnswer({ layers }: CaptureAnalysis, layer: number): Answer {
  const found = layers.find((of) => of.layer === layer);
  if (!found)
    throw new RequestError("UNKNOWN_LAYER", `the capture does not tell which experts layer ${layer} chose`);
  return jsonAnswer(found);
}

/** The experts as points; see `expertAtlas`. */
export const atlasAnswer = (analysis: CaptureAnalysis): Answer => jsonAnswer(expertAtlas(analysis));

/** Two captures side by side, without the columns of all tokens. */
export const comparisonAnswer = (a: OpenedCapture, b: OpenedCapture): Answer =>
  jsonAnswer(comparisonOf(a.capture, b.capture, compareCaptures(a.capture, b.capture), { tokens: false }));
