import { coefficientOfVariation } from "../../analysis/balance.ts";
import type { ExpertUsage, UsageCounts } from "../../analysis/usage.ts";
import type { Terminal } from "../terminal.ts";
import { type HeatRow, heatTable } from "./heat-table.ts";
import { count, percent } from "./numbers.ts";
import { bold, dim } from "./paint.ts";
import { safeText } from "./text.ts";

/** Lines a map may take: it stays on one screen with the text above it. */
const MAX_ROWS = 24;
/** Labels shown; the rest are in the capture. */
const MAX_LABELS = 20;

/** Layers by experts: how often each expert was chosen, against its fair share. */
export function usageMap(usage: ExpertUsage, terminal: Terminal): string[] {
  const layers = [...usage.layers];
  if (layers.length === 0) return [];
  const perRow = Math.ceil(layers.length / MAX_ROWS);
  const rows = Array.from({ length: Math.ceil(layers.length / perRow) }, (_, i) =>
    layerRow(layers.slice(i * perRow, (i + 1) * perRow)),
  );
  const note = perRow > 1 ? [`each row: the mean of ${perRow} layers, named by the first`] : [];
  return [
    bold(terminal.depth, `Expert usage against fair share (${percent(usage.fairShare)} of tokens)`),
    ...heatTable({ rows, columns: ["CV", "never"], notes: note }, terminal),
  ];
}

/** Labels by experts in one layer: who serves which domain. Samples without a label are a row of their own. */
export function usageByLabel(usage: ExpertUsage, layer: number, terminal: Terminal): string[] {
  const labels = [...(usage.layers.get(layer)?.byLabel ?? [])].filter(([, { rows }]) => rows > 0);
  if (labels.length === 0) return [];
  const rows = labels.slice(0, MAX_LABELS).map(
    ([label, of]): HeatRow => ({
      name: label === null ? "(none)" : safeText(label),
      usage: againstFair(of),
      figures: [variation(of), count(of.rows)],
    }),
  );
  const hidden = labels.length - rows.length;
  const title = `Usage by label in layer ${layer}, against fair share (${percent(usage.fairShare)} of tokens)`;
  return [
    bold(terminal.depth, title),
    ...heatTable({ rows, columns: ["CV", "tokens"], notes: [] }, terminal),
    ...(hidden > 0 ? [dim(terminal.depth, `… ${hidden} more labels`)] : []),
  ];
}

function layerRow(group: readonly (readonly [number, UsageCounts])[]): HeatRow {
  const each = group.map(([, of]) => againstFair(of));
  const mean = (values: readonly number[]) => sum(values) / values.length;
  const never = mean(group.map(([, { counts }]) => counts.filter((n) => n === 0).length));
  return {
    name: `L${group[0]![0]}`,
    usage: each[0]!.map((_, expert) => mean(each.map((usage) => usage[expert]!))),
    figures: [
      mean(group.map(([, { counts }]) => coefficientOfVariation(counts))).toFixed(2),
      count(Math.round(never)),
    ],
  };
}

/** Counts as multiples of what each expert would have if all were chosen equally often. */
function againstFair({ counts }: UsageCounts): number[] {
  const fair = sum([...counts]) / counts.length;
  return Array.from(counts, (n) => (fair === 0 ? 0 : n / fair));
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const variation = ({ counts }: UsageCounts) => coefficientOfVariation(counts).toFixed(2);
