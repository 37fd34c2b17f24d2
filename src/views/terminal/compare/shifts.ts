import { largestShifts, type UsageShift } from "../../../analysis/compare/usage-shift.ts";
import { largest } from "../../../core/extremes.ts";
import { diverging } from "../../colours.ts";
import { ALPHA, BEYOND_CHANCE } from "../../evidence.ts";
import { percent, points, qOf } from "../../numbers.ts";
import { alignColumns } from "../parts/columns.ts";
import { heatTable } from "../parts/heat-table.ts";
import { layerGroups, mean } from "../parts/layer-groups.ts";
import { background, bold, dim } from "../parts/paint.ts";
import { shiftScale } from "../parts/shift-scale.ts";
import { clip, padLeft, padRight, wrap } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";

/** Lines of the list; `--json` has all. */
const MAX_SHIFTS = 8;
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
 * @param evidence what is to be known of the q-values.
 */
export function shiftList(
  layers: readonly LayerShifts[],
  evidence: readonly (string | null)[],
  { width, depth }: Terminal,
): string[] {
  const found = largestShifts({ layers: new Map(layers.map((of) => [of.layer, of])) });
  const title = bold(depth, "Experts whose use shifted most, from A to B");
  if (found.length === 0) return [title, "  none: every expert serves as many tokens", ""];
  const significant = found.filter(({ qValue }) => qValue <= ALPHA);
  const shown = [...significant, ...found.filter(({ qValue }) => qValue > ALPHA)].slice(0, MAX_SHIFTS);
  const most = largest(shown.map(({ difference }) => Math.abs(difference)));
  const lines = alignColumns(
    shown.map(({ layer, expert, shareA, shareB, difference, halfWidth, qValue }) => [
      `${qValue <= ALPHA ? "*" : " "} L${layer} E${expert}`,
      `${padLeft(percent(shareA), 7)} → ${percent(shareB)}`,
      points(difference),
      halfWidth === null ? "" : `± ${points(halfWidth).replace("+", "").replace(" points", "")}`,
      qOf(qValue),
    ]),
    [padRight, padRight, padLeft, padRight, padRight],
  );
  const note =
    significant.length === 0
      ? "none is beyond chance (q ≤ 0.05)"
      : `* ${significant.length} of ${found.length} shifts are ${BEYOND_CHANCE}`;
  return [
    title,
    ...lines.map((line, i) => {
      const sign = background(depth, diverging(shown[i]!.difference / most), depth === "none" ? "" : "  ");
      return clip(line, width - 4).trimEnd() + (sign && `  ${sign}`);
    }),
    ...[note, ...evidence]
      .flatMap((text) => (text === null ? [] : wrap(text, width - 2)))
      .map((line) => dim(depth, `  ${line}`)),
    "",
  ];
}
