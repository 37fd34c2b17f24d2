import { largestShifts, type UsageShift } from "../../../analysis/compare/usage-shift.ts";
import { largest } from "../../../core/extremes.ts";
import { diverging } from "../../colours.ts";
import { percent, points, probability } from "../../numbers.ts";
import { alignColumns } from "../parts/columns.ts";
import { heatTable } from "../parts/heat-table.ts";
import { layerGroups, mean } from "../parts/layer-groups.ts";
import { background, bold, dim } from "../parts/paint.ts";
import { shiftScale } from "../parts/shift-scale.ts";
import { clip, padLeft, padRight } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";

/** Lines of the list; `--json` has all. */
const MAX_SHIFTS = 8;
/** Expected part of false ones among the shifts that are marked. */
const ALPHA = 0.05;

/** The shifts of a layer, in facts of either comparison. */
interface LayerShifts {
  readonly layer: number;
  readonly experts: readonly UsageShift[];
}

/** Layers by experts: by how many tokens of a hundred each expert's use differs. */
export function shiftMap(layers: readonly LayerShifts[], terminal: Terminal): string[] {
  const { groups, notes } = layerGroups(layers);
  const rows = groups.map(({ name, members }) => ({
    name,
    values: members[0]!.experts.map((_, expert) =>
      mean(members.map(({ experts }) => experts[expert]!.difference)),
    ),
    figures: [],
  }));
  const most = rows.reduce((top, { values }) => Math.max(top, largest(values.map(Math.abs))), 0);
  if (most === 0) return [];
  return [
    bold(terminal.depth, "Shift of expert usage from A to B (share of tokens)"),
    ...heatTable({ scale: shiftScale(most), rows, columns: [], notes }, terminal),
    "",
  ];
}

/**
 * The largest shifts, those beyond chance first and marked.
 *
 * @param evidence what the p-values rest on, where that is little.
 */
export function shiftList(
  layers: readonly LayerShifts[],
  evidence: string | null,
  { width, depth }: Terminal,
): string[] {
  const found = largestShifts({ layers: new Map(layers.map((of) => [of.layer, of])) });
  const title = bold(depth, "Experts whose use shifted most, from A to B");
  if (found.length === 0) return [title, "  none: every expert serves as many tokens", ""];
  const significant = found.filter(({ qValue }) => qValue <= ALPHA);
  const shown = [...significant, ...found.filter(({ qValue }) => qValue > ALPHA)].slice(0, MAX_SHIFTS);
  const most = largest(shown.map(({ difference }) => Math.abs(difference)));
  const lines = alignColumns(
    shown.map(({ layer, expert, shareA, shareB, difference, pValue, qValue }) => [
      `${qValue <= ALPHA ? "*" : " "} L${layer} E${expert}`,
      `${padLeft(percent(shareA), 7)} → ${percent(shareB)}`,
      points(difference),
      probability(pValue),
    ]),
    [padRight, padRight, padLeft, padRight],
  );
  const note =
    significant.length === 0
      ? "none is beyond chance (false discovery rate 5 %)"
      : `* ${significant.length} of ${found.length} shifts are beyond chance (false discovery rate 5 %)`;
  return [
    title,
    ...lines.map((line, i) => {
      const sign = background(depth, diverging(shown[i]!.difference / most), depth === "none" ? "" : "  ");
      return clip(line, width - 4).trimEnd() + (sign && `  ${sign}`);
    }),
    dim(depth, `  ${note}`),
    ...(evidence === null ? [] : [dim(depth, clip(`  ${evidence}`, width))]),
    "",
  ];
}
