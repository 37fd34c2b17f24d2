import { coefficientOfVariation } from "../../../analysis/statistics/balance.ts";
import { safeText } from "../../../core/safe-text.ts";
import { count, percent } from "../../numbers.ts";
import type { Terminal } from "../terminal.ts";
import { type HeatRow, heatTable } from "./heat-table.ts";
import { type LayerGroup, layerGroups, mean } from "./layer-groups.ts";
import { bold, dim } from "./paint.ts";
import { USAGE_SCALE } from "./usage-scale.ts";

/** Labels shown; the rest are in the capture. */
const MAX_LABELS = 20;

/** What the maps show of `UsageFacts` and of an analysis. */
export interface UsageCounted {
  readonly fairShare: number;
  readonly layers: readonly {
    readonly layer: number;
    /** By expert. */
    readonly counts: readonly number[];
    readonly byLabel: readonly LabelCounted[] | null;
  }[];
}

interface LabelCounted {
  readonly label: string | null;
  readonly rows: number;
  readonly counts: readonly number[];
}

type Counted = Pick<LabelCounted, "counts">;

/** Layers by experts: how often each expert was chosen, against its fair share. */
export function usageMap(usage: UsageCounted, terminal: Terminal): string[] {
  if (usage.layers.length === 0) return [];
  const { groups, notes } = layerGroups(usage.layers);
  const rows = groups.map(layerRow);
  return [
    bold(terminal.depth, `Expert usage against fair share (${percent(usage.fairShare)} of tokens)`),
    ...heatTable({ scale: USAGE_SCALE, rows, columns: ["CV", "never"], notes }, terminal),
  ];
}

/** Labels by experts in one layer: who serves which domain. Samples without a label are a row of their own. */
export function usageByLabel(usage: UsageCounted, layer: number, terminal: Terminal): string[] {
  const found = usage.layers.find((of) => of.layer === layer);
  const labels = (found?.byLabel ?? []).filter(({ rows }) => rows > 0);
  if (labels.length === 0) return [];
  const rows = labels.slice(0, MAX_LABELS).map(
    (of): HeatRow => ({
      name: of.label === null ? "(none)" : safeText(of.label),
      values: againstFair(of),
      figures: [variation(of), count(of.rows)],
    }),
  );
  const hidden = labels.length - rows.length;
  const title = `Usage by label in layer ${layer}, against fair share (${percent(usage.fairShare)} of tokens)`;
  return [
    bold(terminal.depth, title),
    ...heatTable({ scale: USAGE_SCALE, rows, columns: ["CV", "tokens"], notes: [] }, terminal),
    ...(hidden > 0 ? [dim(terminal.depth, `… ${hidden} more labels`)] : []),
  ];
}

function layerRow({ name, members }: LayerGroup<Counted>): HeatRow {
  const each = members.map(againstFair);
  const never = mean(members.map(({ counts }) => counts.filter((n) => n === 0).length));
  return {
    name,
    values: each[0]!.map((_, expert) => mean(each.map((usage) => usage[expert]!))),
    figures: [
      mean(members.map(({ counts }) => coefficientOfVariation(counts))).toFixed(2),
      count(Math.round(never)),
    ],
  };
}

/** Counts as multiples of what each expert would have if all were chosen equally often. */
function againstFair({ counts }: Counted): number[] {
  const fair = mean(counts);
  return Array.from(counts, (n) => (fair === 0 ? 0 : n / fair));
}

const variation = ({ counts }: Counted) => coefficientOfVariation(counts).toFixed(2);
